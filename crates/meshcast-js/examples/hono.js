// Prices that every instance of a service knows, with Hono. What one instance is told, all answer.
//
//   npm install hono             (and meshcast, in the same project)
//   node serve.js hono.js        (deno run -A serve.js hono.js, bun hono.js)

import process from "node:process";
import { Hono } from "hono";
import { BroadcastChannel } from "meshcast";

const prices = new Map();
const channel = new BroadcastChannel("prices");

channel.onmessage = ({ data: { symbol, cents } }) => prices.set(symbol, cents);
channel.addEventListener("gap", ({ sender, count }) => {
  // Here a service would fetch all prices anew.
  console.warn(`${count} prices of ${sender.name} are missing`);
});

const app = new Hono();

app.get("/prices", (c) => c.json(Object.fromEntries(prices)));

app.put("/prices/:symbol", async (c) => {
  const cents = Number(await c.req.text());
  if (!Number.isSafeInteger(cents)) return c.text("a whole number of cents is missing", 400);
  const price = { symbol: c.req.param("symbol"), cents };
  channel.postMessage(price);
  prices.set(price.symbol, price.cents);
  return c.body(null, 204);
});

export default { port: Number(process.env.PORT ?? 8000), fetch: app.fetch };
