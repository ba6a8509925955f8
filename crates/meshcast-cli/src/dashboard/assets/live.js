// The stream of the page, and what the page asks for.

/** Applies a JSON Merge Patch (RFC 7386). */
export function merge(target, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const merged = target !== null && typeof target === 'object' && !Array.isArray(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value);
  }
  return merged;
}

/** Follows what is told: `told(name, data)`, with names `state`, `timeline`, `tail`, `connection`. */
export class Live {
  #told;
  #source = null;
  #document = null;
  #wanted = {};
  #retry = 0;

  constructor(told) {
    this.#told = told;
    // A page that nobody sees costs nothing.
    let hidden = 0;
    document.addEventListener('visibilitychange', () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => this.#close(), 60_000);
      else if (this.#source === null) this.follow(this.#wanted);
    });
  }

  /** Begins anew, following this channel first at this node. */
  follow(wanted) {
    this.#wanted = wanted;
    this.#close();
    const query = new URLSearchParams();
    if (wanted.channel !== undefined) query.set('channel', wanted.channel);
    if (wanted.node) query.set('node', wanted.node);
    const source = new EventSource(`/api/stream?${query}`);
    this.#source = source;
    const hear = (name, take) => source.addEventListener(name, ({ data }) => take(JSON.parse(data)));
    hear('state', (state) => this.#state(state));
    hear('patch', (patch) => this.#state(merge(this.#document, patch)));
    hear('timeline', (entries) => this.#told('timeline', entries));
    hear('tail', (changes) => this.#told('tail', changes));
    source.onopen = () => this.#told('connection', 'live');
    source.onerror = () => {
      this.#told('connection', 'lost');
      // The browser gives up on an answer that is no stream, as from a server that is full.
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.follow(this.#wanted), 2000);
      }
    };
  }

  #state(state) {
    this.#document = state;
    this.#told('state', state);
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }
}

/** What went wrong, in words. */
async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `the server answers ${response.status}`;
  }
}

export async function ask(path, query) {
  const response = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (!response.ok) throw new Error(await refusal(response));
  return response.json();
}

export async function change(path, what) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(what),
  });
  if (!response.ok) throw new Error(await refusal(response));
}
