/** What synthetic objects are made of: all of it follows from numbers and texts, so that an object looks the same each time. */

export const CREATED = '2026-03-02T08:15:30Z';

/** As Helm labels what it makes. */
export function labelsOf(name: string): Record<string, string> {
  return {
    'app.kubernetes.io/instance': name,
    'app.kubernetes.io/managed-by': 'Helm',
    'app.kubernetes.io/name': name,
    'app.kubernetes.io/version': '1.14.2',
    'helm.sh/chart': `${name}-0.9.1`,
  };
}

/** What all objects have; `seed` makes the uid. */
export function metadata(seed: string, namespace: string | undefined, name: string, resourceVersion: number) {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: uid(seed),
    resourceVersion: String(resourceVersion),
    creationTimestamp: CREATED,
  };
}

/** One entry of server-side apply. */
export function managedFields(
  manager: string,
  apiVersion: string,
  labels: Readonly<Record<string, string>>,
  fields: readonly string[],
) {
  const owned = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, {}]));
  const fieldsV1 = {
    'f:metadata': {
      'f:annotations': { '.': {} },
      'f:labels': { '.': {}, ...owned(Object.keys(labels).map((key) => `f:${key}`)) },
      'f:ownerReferences': { '.': {}, [`k:{"uid":"${uid(manager)}"}`]: {} },
    },
    'f:spec': owned(fields),
  };
  return { manager, operation: 'Update', apiVersion, time: CREATED, fieldsType: 'FieldsV1', fieldsV1 };
}

/** `network`: the first byte. */
export function address(network: number, number: number): string {
  return `${network}.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
}

/** So many characters that look like those of a pod's name. */
export function base32(number: number, digits: number): string {
  // Odd and large, so that neighbours look nothing alike and no two are the same.
  return (Math.imul(number, 0x9e3779b1) >>> 0).toString(32).padStart(digits, 'v');
}

/** A UUID that follows from a text. */
export function uid(seed: string): string {
  const digits = hex(seed, 32);
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([from, to]) => digits.slice(from, to))
    .join('-');
}

/** So many hexadecimal digits that follow from a text (FNV-1a, continued). */
export function hex(seed: string, digits: number): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < seed.length; i += 1) value = Math.imul(value ^ seed.charCodeAt(i), 0x01000193);
  let text = '';
  while (text.length < digits) {
    value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
    text += (value >>> 0).toString(16).padStart(8, '0');
  }
  return text.slice(0, digits);
}
