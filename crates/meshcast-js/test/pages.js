// Services with pages, and a network between them that can be cut, for tests.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { WebSocket, WebSocketServer } from "ws";
import { generateKey } from "../lib/index.js";
import { JsonProgram, needs, runtimes } from "./process.js";
import { built, missing } from "./rust.js";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** How a service is run, by language; the Rust one if it has been built. */
export const services = {
  ...Object.fromEntries(
    Object.entries(runtimes).map(([name, command]) => [name, [...command, path("service.js")]]),
  ),
  rust: [built("examples", "tabs")],
};

/** Pairs of services: of a kind, and of both languages. */
export const pairs = [
  ["node", "node"],
  ["rust", "node"],
  ["node", "rust"],
  ["deno", "bun"],
];

/** Why a test with these services is skipped, or false. */
export function lacks(...kinds) {
  const noRust = kinds.includes("rust") && missing(services.rust[0], "cargo build --examples");
  return noRust || needs(...kinds.filter((kind) => kind !== "rust")).skip;
}

/** A service; `commands` as in `service.js`. */
export class Service extends JsonProgram {
  static async start(t, kind, region, key, seed = "", env = {}) {
    const service = new Service(t, services[kind], {
      MESHCAST_KEY: key,
      MESHCAST_REGION: region,
      MESHCAST_NAME: region,
      MESHCAST_LISTEN: "127.0.0.1:0",
      MESHCAST_SEEDS: seed,
      PACKAGE: path(".."),
      ...env,
    });
    const { serving, address } = await service.nextOf("serving");
    service.host = `127.0.0.1:${serving}`;
    service.meshPort = Number(/\/tcp\/(\d+)/.exec(address)[1]);
    return service;
  }

  do(command, fields = {}) {
    this.child.stdin.write(`${JSON.stringify({ do: command, ...fields })}\n`);
  }

  /** Waits until so many clients are connected. */
  async hasClients(count) {
    do this.do("clients");
    while ((await this.next("clients")) !== count);
  }

  url(user) {
    return `ws://${this.host}/meshcast${user === undefined ? "" : `?user=${user}`}`;
  }
}

/** A link to a port that can be cut: nothing passes, and nobody is told. */
export class Cable {
  cut = false;
  #pairs = new Set();

  static async to(t, port) {
    const cable = new Cable();
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      const pair = [near, far];
      cable.#pairs.add(pair);
      const end = () => {
        cable.#pairs.delete(pair);
        pair.forEach((socket) => socket.destroy());
      };
      for (const [from, into] of [pair, [far, near]]) {
        from.on("data", (data) => {
          if (!cable.cut) into.write(data);
        });
        from.on("close", end).on("error", end);
      }
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.close();
      for (const pair of cable.#pairs) pair.forEach((socket) => socket.destroy());
    });
    cable.address = `127.0.0.1:${server.address().port}`;
    return cable;
  }

  /** Lets through again; what was on its way is lost, and with it the connections. */
  mend() {
    this.cut = false;
    for (const pair of [...this.#pairs]) pair.forEach((socket) => socket.destroy());
  }
}

/**
 * A way to a service that breaks as soon as a page was told that its channel is open, and stays so
 * until it is mended.
 */
export class BreaksOnceOpened {
  broken = false;
  #opened = false;

  static async to(t, url) {
    const way = new BreaksOnceOpened();
    const handleProtocols = () => "meshcast.v1";
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols });
    await once(server, "listening");
    t.after(() => {
      server.clients.forEach((near) => near.terminate());
      server.close();
    });
    server.on("connection", (near) => way.#carry(near, url));
    way.address = `ws://127.0.0.1:${server.address().port}/meshcast`;
    return way;
  }

  #carry(near, url) {
    if (this.broken) return near.terminate();
    const far = new WebSocket(url, "meshcast.v1");
    const isOpen = new Promise((resolve) => far.once("open", resolve));
    near.on("message", async (data, binary) => {
      await isOpen;
      far.send(data, { binary });
    });
    far.on("message", (data, binary) => {
      if (this.broken) return;
      near.send(data, { binary });
      if (this.#opened || binary || JSON.parse(data).type !== "opened") return;
      this.#opened = true;
      this.broken = true;
      near.close();
    });
    near.on("close", () => far.terminate()).on("error", () => {});
    far.on("close", () => near.terminate()).on("error", () => {});
  }
}

/** Two services in two regions, and the cable between them. */
export async function twoRegions(t, [one, other], env = {}) {
  const key = generateKey();
  const fra = await Service.start(t, one, "fra", key, "", env);
  const cable = await Cable.to(t, fra.meshPort);
  const nrt = await Service.start(t, other, "nrt", key, cable.address, env);
  return { key, fra, nrt, cable };
}
