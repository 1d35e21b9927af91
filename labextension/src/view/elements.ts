/**
 * Makes DOM elements in one expression.
 * It must not know what they are for.
 */

type Child = Node | string | null | undefined | false;

/** Attributes; a function is a listener for the event that it is named after. */
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/**
 * A new element.
 *
 * @param tag - its tag, with classes behind dots: `button.lit-button`.
 * @param attributes - `false`, `null` and `undefined` leave one out, `true` sets it empty.
 */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K | `${K}.${string}`,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name) as HTMLElementTagNameMap[K];
  element.classList.add(...classes);
  apply(element, attributes);
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** A new SVG element; see `make`. */
export function draw(tag: string, attributes: Attributes = {}, ...children: Element[]): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  apply(element, attributes);
  element.append(...children);
  return element;
}

function apply(element: Element, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(key, value as EventListener);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? '' : String(value));
    }
  }
}

/** Set the text if it is another one: a page that doesn't change isn't laid out again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Set or remove an attribute if it is different. */
export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) !== value) {
    if (value === null) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, value);
    }
  }
}
