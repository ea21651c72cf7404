import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { schema as daemonSchema } from '../../daemon/config.ts';
import { schema as webhookSchema } from '../../webhook/config.ts';

const PAGE = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

type Schema = z.core.JSONSchema.JSONSchema;

const schemas = (one: Schema['items']): Schema[] =>
  [one].flat().filter((inner): inner is Schema => typeof inner === 'object');

/** What a schema is made of, itself included. */
function parts(schema: Schema): Schema[] {
  const { properties = {}, anyOf = [], oneOf = [], allOf = [], items, additionalProperties } = schema;
  const inner = [...Object.values(properties), ...anyOf, ...oneOf, ...allOf, additionalProperties].flatMap((one) =>
    typeof one === 'object' ? [one] : [],
  );
  return [schema, ...[...inner, ...schemas(items)].flatMap(parts)];
}

/** All keys that a config may have, and the words that may be their values. */
function words(schema: Schema): string[] {
  const all = parts(schema).flatMap((part) => [
    ...Object.keys(part.properties ?? {}),
    part.const,
    ...(part.enum ?? []),
  ]);
  return [...new Set(all.filter((word) => typeof word === 'string'))];
}

/** As code, by itself; of `io.l5d.http.retryableAll5XX` the page says `…retryableAll5XX`. */
function names(text: string, word: string): boolean {
  const short = word.replace(/^io\.l5d\.http\./, '…');
  return [word, short].some((one) =>
    new RegExp(`\`[^\`\\n]*(?<![\\w])${RegExp.escape(one)}(?!\\w)[^\`\\n]*\``).test(text),
  );
}

const jsonOf = (schema: z.ZodType): Schema => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });

describe('docs/configuration.md', () => {
  for (const [file, schema] of [
    ['daemon.yaml', daemonSchema],
    ['webhook.yaml', webhookSchema],
  ] as const) {
    test(`names each key of ${file}, and each word that is a value`, () => {
      const all = words(jsonOf(schema));
      assert.ok(all.length > 20);
      assert.deepEqual(
        all.filter((word) => !names(PAGE, word)),
        [],
      );
    });
  }

  test('has, by each kind of telemetry, its keys and no others', () => {
    const list = jsonOf(daemonSchema).properties?.telemetry;
    const kinds = parts(list as Schema).filter(({ properties }) => properties?.kind !== undefined);
    assert.ok(kinds.length > 5);
    for (const { properties = {} } of kinds) {
      const { const: kind } = properties.kind as Schema;
      const rows = PAGE.split('\n').filter((line) => line.split('|')[1]?.includes(`\`${kind}\``));
      const cells = rows.map((row) => row.split('|')[2] ?? '').join();
      const said = [...cells.replace(/\([^)]*\)/g, '').matchAll(/`([^`]+)`/g)].map(([, key]) => key);
      const keys = Object.keys(properties).filter((key) => key !== 'kind');
      assert.deepEqual(said.sort(), keys.sort(), String(kind));
    }
  });
});
