import type { AdminReply, AdminRequest, AdminRoute } from '../admin-server.ts';
import type { Page, PageFile } from './page-files.ts';

/** The console's page: `/` and what it needs, under `/assets/`. No data is in it, so it needs no token. */
export function pageRoutes(page: Page): AdminRoute[] {
  return [
    { path: '/', access: 'page', handle: (request, reply) => serve(page, 'index.html', request, reply) },
    {
      path: '/assets/*',
      access: 'page',
      handle: (request, reply) => serve(page, request.path.slice('/assets/'.length), request, reply),
    },
  ];
}

async function serve(page: Page, name: string, request: AdminRequest, reply: AdminReply): Promise<void> {
  let file: PageFile | undefined;
  try {
    file = (await page.files()).get(name);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return reply.text(
      `the console's page cannot be made: ${why}\nIn a clone it takes \`npm ci\`; else use the image\n`,
      503,
    );
  }
  if (file === undefined) return reply.text('the page has no such file\n', 404);
  const coding = codingOf(String(request.headers['accept-encoding'] ?? ''));
  const headers: Record<string, string> = {
    'cache-control': 'no-cache', // asked for again each time, by its tag
    etag: `"${file.tag}${coding === undefined ? '' : `-${coding}`}"`,
    vary: 'accept-encoding',
    ...(coding === undefined ? {} : { 'content-encoding': coding }),
  };
  if (matches(request.headers['if-none-match'], file.tag)) {
    const { 'content-encoding': _none, ...unchanged } = headers;
    reply.raw().writeHead(304, unchanged).end();
    return;
  }
  reply.send(coding === undefined ? file.body : file[coding], file.type, headers);
}

/** What a client takes, the smaller first (RFC 9110 section 12.5.3); `q=0` is a refusal. */
function codingOf(accepted: string): 'br' | 'gzip' | undefined {
  const takes = (coding: string) =>
    accepted
      .split(',')
      .some((one) => new RegExp(`^\\s*${coding}\\s*(?:;\\s*q=(?!0(?:\\.0*)?\\s*$).*)?$`, 'i').test(one));
  return takes('br') ? 'br' : takes('gzip') ? 'gzip' : undefined;
}

/** In whatever coding it was sent: the content is the same. */
function matches(given: string | undefined, tag: string): boolean {
  return (
    given?.split(',').some(
      (one) =>
        one
          .trim()
          .replace(/^W\//, '')
          .replace(/-(?:br|gzip)"$/, '"') === `"${tag}"`,
    ) ?? false
  );
}
