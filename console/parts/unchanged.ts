import { Component, type ComponentChild } from 'preact';

/**
 * A component that is drawn again only when one of its props is another value: for what there are hundreds of, where most stay as
 * they are from one update to the next. Its props are plain values, or objects that are kept.
 */
export function drawnOnChange<Props extends object>(draw: (props: Props) => ComponentChild) {
  return class extends Component<Props> {
    override shouldComponentUpdate(next: Readonly<Props>): boolean {
      return (Object.keys(next) as (keyof Props)[]).some((name) => next[name] !== (this.props as Props)[name]);
    }

    override render(): ComponentChild {
      return draw(this.props as Props);
    }
  };
}
