// Small helpers for elements. Text only ever becomes text: nothing here takes HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) handle(element, name, value);
    else set(element, name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Properties rather than listeners, so that [`morph`] can hand them over. */
function handle(element, name, value) {
  element[name] = value;
  element.handlers = { ...element.handlers, [name]: value };
}

/** An element of HTML. */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets an attribute, or takes it away; touches nothing that is so already. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets the text of an element, unless it is that already. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, in that order. An element stays with its key, and
 * with it focus and selection.
 */
export function keyed(parent, items, key, create, update) {
  const old = parent.keyed ?? new Map();
  const now = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const element = old.get(name) ?? create(item);
    old.delete(name);
    now.set(name, element);
    update(element, item);
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
  for (const element of old.values()) element.remove();
  parent.keyed = now;
}

/** What tells a node from others beside it. */
const keyOf = ({ nodeName, dataset }) => `${nodeName} ${dataset?.key ?? dataset?.do ?? dataset?.name ?? ''}`;

/**
 * Makes an element as `fresh` is, which is used up. What is in both stays, and with it focus,
 * scrolling, and a click whose button is down. Whether `details` are open is the reader's.
 */
export function morph(element, fresh) {
  for (const { name } of [...element.attributes]) {
    if (!fresh.hasAttribute(name) && name !== 'open') element.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (name !== 'open') set(element, name, value);
  for (const name of Object.keys(element.handlers ?? {})) element[name] = null;
  element.handlers = undefined;
  for (const [name, value] of Object.entries(fresh.handlers ?? {})) handle(element, name, value);
  morphChildren(element, fresh);
}

/** The same with what is in it alone. */
export function morphChildren(element, fresh) {
  const old = new Map();
  for (const child of element.childNodes) {
    const key = keyOf(child);
    old.set(key, [...(old.get(key) ?? []), child]);
  }
  const now = [...fresh.childNodes].map((child) => {
    const same = old.get(keyOf(child))?.shift();
    if (same === undefined) return child;
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child);
    else if (same.data !== child.data) same.data = child.data;
    return same;
  });
  // First what is gone, so that what stays need not be moved, which would end focus and scrolling.
  for (const gone of [...old.values()].flat()) gone.remove();
  let at = element.firstChild;
  for (const child of now) {
    if (child === at) at = at.nextSibling;
    else element.insertBefore(child, at);
  }
}

export const ms = (micros) => {
  if (micros === null || micros === undefined) return '–';
  const millis = micros / 1000;
  if (millis < 10) return `${millis.toFixed(1)} ms`;
  return `${Math.round(millis)} ms`;
};

/** A duration in milliseconds, as short as it can be said. */
export const span = (millis) => {
  if (millis < 1000) return `${Math.round(millis)} ms`;
  if (millis < 60_000) return `${(millis / 1000).toFixed(1)} s`;
  const seconds = Math.round(millis / 1000);
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (hours < 1) return `${minutes} min ${seconds % 60} s`;
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
};

export const count = (number) => {
  if (number === null || number === undefined) return '–';
  if (number < 100) return String(Math.round(number * 10) / 10);
  if (number < 10_000) return String(Math.round(number));
  if (number < 1e6) return `${(number / 1e3).toFixed(1)} k`;
  return `${(number / 1e6).toFixed(1)} M`;
};

export const bytes = (number) => {
  if (number === null || number === undefined) return '–';
  if (number < 1024) return `${number} B`;
  if (number < 1 << 20) return `${(number / 1024).toFixed(1)} KiB`;
  return `${(number / (1 << 20)).toFixed(1)} MiB`;
};

export const clock = (millis) => new Date(millis).toTimeString().slice(0, 8);

export const plural = (number, what) => `${count(number)} ${what}${number === 1 ? '' : 's'}`;

/** How members and ways are drawn and called: a sign for each, so that no colour has to tell. */
export const STATES = {
  up: ['●', 'up'],
  elsewhere: ['○', 'elsewhere'],
  paused: ['‖', 'paused'],
  down: ['×', 'down'],
  silent: ['?', 'silent'],
};
export const WAYS = {
  local: ['◆', 'local'],
  gossip: ['≈', 'gossip'],
  repair: ['↺', 'repair'],
  history: ['⇤', 'history'],
};
export const KINDS = {
  fault: '✂',
  mend: '✚',
  member: '●',
  link: '–',
  gap: '!',
  repair: '↺',
  post: '✉',
};
