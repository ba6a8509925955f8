// A service that runs as many instances: what is sent to one of them, all list. It knows nothing but
// the global BroadcastChannel, as on a platform that has one for all instances.
//
//   deno run -A --preload npm:meshcast/register earth.deno.js
//
// DENO_SERVE_ADDRESS=tcp:0.0.0.0:8000 says where it listens.

const messages = [];
// Every instance opens the channel of this name.
const channel = new BroadcastChannel("earth");
channel.onmessage = (event) => {
  // Another instance was sent a message.
  messages.push(event.data);
};

function handler(request) {
  const { pathname, searchParams } = new URL(request.url);

  if (pathname.startsWith("/send")) {
    const message = searchParams.get("message");
    if (!message) return new Response("?message is missing", { status: 400 });
    // A channel does not hear itself.
    messages.push(message);
    channel.postMessage(message);
    return new Response("message sent");
  }

  if (pathname.startsWith("/messages")) return Response.json(messages);

  return new Response("not found", { status: 404 });
}

Deno.serve(handler);
