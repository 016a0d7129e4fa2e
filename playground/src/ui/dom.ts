// Building elements without a framework. Text always goes in as text nodes: no markup is ever parsed.

export type Child = Node | string | null | false | undefined;
type Attribute = string | number | boolean | null | undefined;
type Handlers = { readonly [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };

/** Creates an element. `true` sets an empty attribute; `false`, `null` and `undefined` leave it out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, Attribute>> = {},
  children: readonly Child[] | string = [],
  handlers: Handlers = {},
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const [name, handler] of Object.entries(handlers)) element.addEventListener(name, handler as EventListener);
  append(element, typeof children === 'string' ? [children] : children);
  return element;
}

/** Replaces all children. */
export function fill(element: Element, children: readonly Child[]): void {
  element.replaceChildren();
  append(element, children);
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
}

/** Redraws a part of the page; if a control in it had the focus, the control of the same name has it afterwards. */
export function keepingFocus(within: Element, redraw: () => void): void {
  const focused = document.activeElement;
  const name = focused !== null && within.contains(focused) ? nameOf(focused) : null;
  redraw();
  if (name === null || within.contains(document.activeElement)) return;
  const controls = [...within.querySelectorAll<HTMLElement>('button, input, select')];
  controls.find((control) => nameOf(control) === name)?.focus();
}

function nameOf(control: Element): string {
  return control.getAttribute('data-event') ?? control.getAttribute('aria-label') ?? control.textContent ?? '';
}

const SVG = 'http://www.w3.org/2000/svg';

/** A line icon, 16 by 16, drawn in the colour of the text around it; decoration only. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  const attributes = { viewBox: '0 0 16 16', width: '16', height: '16', 'aria-hidden': 'true', class: 'icon' };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const shape = document.createElementNS(SVG, 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

export const ICONS = {
  chart: 'M2 13.5h12M3.5 10.5l3-4 3 2.5 3.5-5.5',
  table: 'M2 3h12v10H2zM2 6.5h12M2 9.75h12M6.5 3v10',
  query: 'M5.5 4L2 8l3.5 4M10.5 4L14 8l-3.5 4',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  link: 'M6.5 9.5l3-3M7 4.5l1.2-1.2a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5l-1.2 1.2a3 3 0 0 1-4.5-4.5L4.5 7',
  sun: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
  moon: 'M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1z',
  auto: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M9.5 3.5v9M11 4.5v7M12.5 6v4',
  key: 'M10.5 2.5a3 3 0 1 1-2.4 4.8L3 12.5v1.5h2v-1.5h1.5V11H8l1.3-1.3',
  close: 'M4 4l8 8M12 4l-8 8',
  filter: 'M2 3.5h12M4.5 8h7M6.5 12.5h3',
} as const;
