/**
 * The small pieces that the panel's sections are built from: section, row, meter, glyph, sparkline.
 * They must not know the studio's model or any command.
 */
import type { LabIcon } from '@jupyterlab/ui-components';
import { caretDownIcon } from '@jupyterlab/ui-components';
import type { KeyboardEvent, ReactNode } from 'react';
import { useId, useState } from 'react';
import type { RunState } from '../api';
import { stateWord } from '../format';

/** A titled part of the panel that folds away. */
export function Section(props: { title: string; count?: number; children: ReactNode }): JSX.Element {
  const [open, setOpen] = useState(true);
  const id = useId();
  return (
    <section className="lit-Section" aria-labelledby={`${id}-title`}>
      <h2 className="lit-Section-title" id={`${id}-title`}>
        <button
          type="button"
          className="lit-Section-toggle"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        >
          <caretDownIcon.react tag="span" className="lit-Section-caret" width="16px" />
          <span>{props.title}</span>
          {props.count ? <span className="lit-Section-count">{props.count}</span> : null}
        </button>
      </h2>
      <div id={id} hidden={!open}>
        {props.children}
      </div>
    </section>
  );
}

/** Where the keyboard is among the panel's rows: one row is in the tab order at a time. */
export interface IRoving {
  current: string;
  setCurrent: (id: string) => void;
}

/** One line of a list: click or Enter opens it, Delete and Space have their own acts. */
export function Row(props: {
  id: string;
  label: string;
  title?: string;
  className: string;
  roving: IRoving;
  onOpen?: () => void;
  onDelete?: () => void;
  onSpace?: () => void;
  children: ReactNode;
}): JSX.Element {
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) {
      return; // a button inside has its own keys
    }
    const acts: Record<string, (() => void) | undefined> = {
      Enter: props.onOpen,
      Delete: props.onDelete,
      Backspace: props.onDelete,
      ' ': props.onSpace
    };
    const act = acts[event.key];
    if (act) {
      event.preventDefault();
      event.stopPropagation();
      act();
    }
  };
  return (
    <li
      className={`lit-Row ${props.className}`}
      data-lit-row={props.id}
      tabIndex={props.roving.current === props.id ? 0 : -1}
      aria-label={props.label}
      title={props.title}
      onFocus={() => props.roving.setCurrent(props.id)}
      onClick={props.onOpen}
      onKeyDown={onKeyDown}
    >
      {props.children}
    </li>
  );
}

/** A button in a row: it acts without opening the row. */
export function RowButton(props: {
  icon: LabIcon;
  label: string;
  disabled?: boolean;
  onClick: () => void;
}): JSX.Element {
  return (
    <button
      type="button"
      className="lit-RowButton"
      title={props.label}
      aria-label={props.label}
      disabled={props.disabled}
      onClick={event => {
        event.stopPropagation();
        props.onClick();
      }}
    >
      <props.icon.react tag="span" width="16px" />
    </button>
  );
}

/** A named quantity with a thin bar; `share` is 0 to 1, null where it can't be measured. */
export function Meter(props: { name: string; value: string; share: number | null; title?: string }): JSX.Element {
  const share = props.share === null ? 0 : Math.min(1, Math.max(0, props.share));
  const level = share >= 0.95 ? 'lit-mod-full' : share >= 0.85 ? 'lit-mod-high' : '';
  return (
    <div className={`lit-Meter ${level}`} title={props.title}>
      <span className="lit-Meter-name">{props.name}</span>
      <span className="lit-Meter-value">{props.value}</span>
      <div
        className="lit-Bar"
        role="meter"
        aria-label={props.name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        aria-valuetext={props.value}
      >
        <span style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  );
}

/** A run's state as a small sign; shape and colour both tell it. */
export function StateGlyph(props: { state: RunState }): JSX.Element {
  const shapes: Record<RunState, ReactNode> = {
    created: <circle cx="8" cy="8" r="4.25" fill="none" strokeWidth="1.5" strokeDasharray="2.2 2.2" />,
    running: <path d="M8 2.5 14 13.5H2z" stroke="none" />,
    paused: (
      <g stroke="none">
        <rect x="3.5" y="3" width="3.25" height="10" rx="0.75" />
        <rect x="9.25" y="3" width="3.25" height="10" rx="0.75" />
      </g>
    ),
    finished: <path d="m3 8.5 3.5 3.5L13 4.5" fill="none" strokeWidth="2" />,
    stopped: <rect x="3.5" y="3.5" width="9" height="9" rx="1" stroke="none" />,
    interrupted: <rect x="4.25" y="4.25" width="7.5" height="7.5" rx="1" fill="none" strokeWidth="1.5" />,
    failed: <path d="m4 4 8 8m0-8-8 8" fill="none" strokeWidth="2" />,
    lost: <path d="M5.5 6a2.5 2.5 0 1 1 3.3 2.4c-.6.2-.8.6-.8 1.2m0 2.2v.4" fill="none" strokeWidth="1.8" />
  };
  return (
    <svg
      className={`lit-Glyph lit-mod-${props.state}`}
      viewBox="0 0 16 16"
      width="12"
      height="12"
      role="img"
      aria-label={stateWord(props.state)}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      {shapes[props.state] ?? shapes.lost}
    </svg>
  );
}

const WIDTH = 100;
const HEIGHT = 32;

/**
 * The course of one metric, newest right; the frame stretches, the line keeps its thickness.
 * Its children are laid over the corner that the curve leaves free.
 */
export function Sparkline(props: {
  values: (number | null)[];
  live: boolean;
  children?: ReactNode;
}): JSX.Element | null {
  const finite = props.values.filter((v): v is number => typeof v === 'number' && Number.isFinite(v));
  if (finite.length < 2) {
    return <div className="lit-Sparkline lit-mod-empty lit-mod-rising">{props.children}</div>;
  }
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  const points = finite.map((value, i): [number, number] => [
    (i / (finite.length - 1)) * WIDTH,
    HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4)
  ]);
  const line = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join(' L');
  const last = points[points.length - 1];
  const rising = finite[finite.length - 1] > finite[0];
  return (
    <div className={`lit-Sparkline ${rising ? 'lit-mod-rising' : ''}`}>
      <svg aria-hidden="true" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
        <path className="lit-Sparkline-area" d={`M${line} L${WIDTH} ${HEIGHT} L0 ${HEIGHT}Z`} />
        <path className="lit-Sparkline-line" d={`M${line}`} vectorEffect="non-scaling-stroke" />
      </svg>
      {props.live ? <i style={{ top: `${(last[1] / HEIGHT) * 100}%` }} /> : null}
      {props.children}
    </div>
  );
}
