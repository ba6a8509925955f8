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

const KEY = /^#key=([0-9a-f]+)$/;

/**
 * The key of this page, from behind the `#` of the address that the command printed. It does not stay in the address bar:
 * it is kept for this tab, and no server but this one is told.
 */
function takeKey() {
  const given = KEY.exec(location.hash)?.[1];
  try {
    if (given) sessionStorage.setItem('key', given);
    return given ?? sessionStorage.getItem('key') ?? '';
  } catch {
    // Not kept, then.
    return given ?? '';
  } finally {
    if (given) history.replaceState(null, '', location.pathname);
  }
}
const headers = { authorization: `Bearer ${takeKey()}` };
// Another address of the same page, in the same tab, only changes what is behind the `#`.
addEventListener('hashchange', () => {
  if (!KEY.test(location.hash)) return;
  headers.authorization = `Bearer ${takeKey()}`;
  dispatchEvent(new Event('key'));
});

/** The events of a stream, each as its name and its data. */
async function* events(body, waits) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    // A connection that breaks has ended.
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const looked = Math.max(0, text.length - 1);
    text += value;
    let begin = 0;
    for (let end = text.indexOf('\n\n', looked); end !== -1; end = text.indexOf('\n\n', begin)) {
      const fields = text.slice(begin, end).split('\n').map((line) => line.split(/: ?(.*)/s));
      begin = end + 2;
      const { event, data, retry } = Object.fromEntries(fields);
      if (retry) waits(Number(retry));
      if (event) yield [event, data];
    }
    text = text.slice(begin);
  }
}

/** Follows what is told: `told(name, data)`, with names `state`, `timeline`, `tail`, `connection`. */
export class Live {
  #told;
  #reading = null;
  #document = null;
  #wanted = {};
  #retry = 0;
  #wait = 2000;

  constructor(told) {
    this.#told = told;
    // A page that nobody sees costs nothing.
    let hidden = 0;
    document.addEventListener('visibilitychange', () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => this.#close(), 60_000);
      else if (this.#reading === null) this.follow(this.#wanted);
    });
    addEventListener('key', () => this.follow(this.#wanted));
  }

  /** Begins anew, following this channel first at this node. */
  follow(wanted) {
    this.#wanted = wanted;
    this.#close();
    const query = new URLSearchParams();
    if (wanted.channel !== undefined) query.set('channel', wanted.channel);
    if (wanted.node) query.set('node', wanted.node);
    const reading = new AbortController();
    this.#reading = reading;
    this.#read(`/api/stream?${query}`, reading);
  }

  /** Reads until the stream ends, and begins anew after a while. A server that is full is asked again, too. */
  async #read(path, reading) {
    const response = await fetch(path, { headers, signal: reading.signal }).catch(() => null);
    if (this.#reading !== reading) return;
    if (response?.ok) {
      this.#told('connection', 'live');
      for await (const [name, data] of events(response.body, (wait) => { this.#wait = wait; })) {
        if (this.#reading !== reading) return;
        this.#hear(name, data);
      }
      if (this.#reading !== reading) return;
    }
    // A key does not become right by itself.
    const refused = response?.status === 401;
    this.#told('connection', refused ? 'refused' : 'lost');
    if (!refused) this.#retry = setTimeout(() => this.follow(this.#wanted), this.#wait);
  }

  #hear(name, text) {
    try {
      const data = JSON.parse(text);
      if (name === 'state') this.#state(data);
      else if (name === 'patch') this.#state(merge(this.#document, data));
      else this.#told(name, data);
    } catch (error) {
      // What goes wrong with one event does not end the stream.
      reportError(error);
    }
  }

  #state(state) {
    this.#document = state;
    this.#told('state', state);
  }

  #close() {
    clearTimeout(this.#retry);
    this.#reading?.abort();
    this.#reading = null;
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
  const response = await fetch(`${path}?${new URLSearchParams(query)}`, { headers });
  if (!response.ok) throw new Error(await refusal(response));
  return response.json();
}

export async function change(path, what) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(what),
  });
  if (!response.ok) throw new Error(await refusal(response));
}
