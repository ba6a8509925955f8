// A service that runs as many instances: what is sent to one of them, all list. It knows nothing but
// the global BroadcastChannel.
//
//   node --import meshcast/register serve.js earth.js
//   deno run -A --preload npm:meshcast/register serve.js earth.js
//   bun --preload meshcast/register earth.js

const messages = [];
const channel = new BroadcastChannel("earth");

channel.onmessage = (event) => {
  messages.push(event.data);
};

export default {
  port: Number(globalThis.process?.env.PORT ?? 8000),

  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);

    if (pathname === "/send") {
      const message = searchParams.get("message");
      if (!message) return new Response("?message is missing", { status: 400 });
      // A channel does not hear itself.
      messages.push(message);
      channel.postMessage(message);
      return new Response("message sent");
    }

    if (pathname === "/messages") return Response.json(messages);

    return new Response("not found", { status: 404 });
  },
};
