// Upgrades of an HTTP server of Node, before they are WebSockets: everybody may send them, and
// nobody but us looks after their sockets.

/** Gateways by path, of each server that one is attached to. */
const attached = new WeakMap();

/** Hands upgrades of a path to a gateway. */
export function attach(server, path, gateway) {
  let paths = attached.get(server);
  if (paths === undefined) {
    paths = new Map();
    attached.set(server, paths);
    server.on("upgrade", (request, socket, head) => {
      // Node has taken its own listener away, and an error without one ends the process.
      guard(socket);
      const found = paths.get(pathOf(request.url));
      if (found !== undefined) found.upgrade(request, socket, head);
      // Somebody else's, if anybody else listens.
      else if (server.listenerCount("upgrade") === 1) refuse(socket, 404, "nothing is here");
    });
  }
  paths.set(path, gateway);
}

/** What a socket comes to without anybody's doing is no error of this process. */
export function guard(socket) {
  socket.on("error", () => socket.destroy());
}

/** The path of the target of a request, whatever stands there; null if it has none. */
function pathOf(target) {
  try {
    return new URL(target, "http://localhost").pathname;
  } catch {
    return null;
  }
}

const STATUS = {
  403: "Forbidden",
  404: "Not Found",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** Answers, and ends the socket also if the other side does not. */
export function refuse(socket, status, text) {
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS[status]}\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
