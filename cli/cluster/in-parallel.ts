/** Does one thing with each of many, at most so many at once; gives what came of each, in their order. Rejects with the first error. */
export async function inParallel<T, R>(
  limit: number,
  items: readonly T[],
  each: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  const waiting = items.entries(); // one for all workers
  const work = async () => {
    for (const [i, item] of waiting) results[i] = await each(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}
