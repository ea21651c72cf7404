import type { ComponentChildren } from 'preact';
import { formatShare, formatSpan } from '../format.ts';
import { certificateLevel, type Level, levelOf, SHAPES, WORDS } from '../health.ts';
import { routeTo } from '../route.ts';

/** A level as shape, colour and text. */
export function Mark({ level, children }: { level: Level; children: ComponentChildren }) {
  return (
    <span class={`mark is-${level}`}>
      <span aria-hidden="true">{SHAPES[level]}</span> {children}
    </span>
  );
}

/** A success rate with its level. */
export function Success({ rate }: { rate: number | null }) {
  const level = levelOf(rate);
  return (
    <Mark level={level}>
      {formatShare(rate)}
      <span class="unseen"> {WORDS[level]}</span>
    </Mark>
  );
}

/** What a certificate has left. */
export function Certificate({ notAfter, now }: { notAfter: number | null; now: number }) {
  if (notAfter === null) return <Mark level="none">none</Mark>;
  const level = certificateLevel(notAfter, now);
  const left = notAfter - now;
  const text = level === 'bad' ? `expired ${formatSpan(-left)} ago` : `${formatSpan(left)} left`;
  return <Mark level={level}>{level === 'warn' ? `${text}, not renewed` : text}</Mark>;
}

/** A Service's name, which leads to its page. */
export function ServiceName({ namespace, name }: { namespace: string; name: string }) {
  return (
    <a class="name" href={routeTo('services', [namespace, name])}>
      <b>{name}</b> <small>{namespace}</small>
    </a>
  );
}

/** A panel with its heading, a landmark of its own. */
export function Panel(props: {
  title: string;
  class?: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class={`panel ${props.class ?? ''}`} aria-label={props.title}>
      <header>
        <h2>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}
