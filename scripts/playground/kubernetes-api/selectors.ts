import { type LabelSelector, unmetRequirement } from '../../../lib/kubernetes/label-selector.ts';
import { badRequest } from './api-error.ts';
import type { ApiObject } from './object-store.ts';

export type { LabelSelector };
export type Labels = Readonly<Record<string, string>>;

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** Whether labels fit a selector; an empty or missing one fits everything. Throws ApiError 400 for an unknown operator. */
export function matchesLabels(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  const unknown = selector?.matchExpressions?.find(({ operator }) => !OPERATORS.includes(operator));
  if (unknown !== undefined) throw badRequest(`"${unknown.operator}" is not a valid label selector operator`);
  return unmetRequirement(selector, labels) === undefined;
}

/**
 * Reads the text form of a label selector (`a=b,c!=d,e in (f,g),h notin (i),j,!k`), as in `?labelSelector=`.
 * Throws ApiError 400 for anything else.
 */
export function parseLabelSelector(text: string): LabelSelector {
  const terms = text.split(/,(?![^(]*\))/).map((term) => term.trim());
  return { matchExpressions: terms.filter((term) => term !== '').map(parseTerm) };
}

function parseTerm(term: string): { key: string; operator: string; values: string[] } {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term);
  if (set !== null) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    return { key: set[1] ?? '', operator: set[2] === 'in' ? 'In' : 'NotIn', values };
  }
  const equality = /^([\w./-]+)\s*(=|==|!=)\s*([\w.-]*)$/.exec(term);
  if (equality !== null) {
    return { key: equality[1] ?? '', operator: equality[2] === '!=' ? 'NotIn' : 'In', values: [equality[3] ?? ''] };
  }
  const existence = /^(!?)\s*([\w./-]+)$/.exec(term);
  if (existence === null) throw badRequest(`unable to parse requirement: "${term}"`);
  return { key: existence[2] ?? '', operator: existence[1] === '!' ? 'DoesNotExist' : 'Exists', values: [] };
}

const FIELDS: Readonly<Record<string, (object: ApiObject) => string>> = {
  'metadata.name': ({ metadata }) => metadata.name,
  'metadata.namespace': ({ metadata }) => metadata.namespace ?? '',
  'spec.signerName': ({ spec }) => String((spec as { signerName?: string } | undefined)?.signerName ?? ''),
  'spec.nodeName': ({ spec }) => String((spec as { nodeName?: string } | undefined)?.nodeName ?? ''),
};

/** Takes `?labelSelector=` and `?fieldSelector=`; gives the test that both make. Throws ApiError 400 for unknown fields. */
export function objectFilter(labels: string | null, fields: string | null): (object: ApiObject) => boolean {
  const selector = parseLabelSelector(labels ?? '');
  const wanted = (fields ?? '').split(',').filter((term) => term !== '');
  const tests = wanted.map((term) => {
    const [, name = '', operator, value = ''] = /^([\w.]+)(==?|!=)(.*)$/.exec(term) ?? [];
    const read = FIELDS[name];
    if (read === undefined) throw badRequest(`field label not supported: ${term}`);
    return (object: ApiObject) => (read(object) === value) === (operator !== '!=');
  });
  return (object) => matchesLabels(selector, object.metadata.labels) && tests.every((test) => test(object));
}
