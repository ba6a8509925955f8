// What takes the library `dom`.

import { BroadcastChannel } from "meshcast";

// What the web's class is used for, this one is good for.
const asGlobal: globalThis.BroadcastChannel = new BroadcastChannel("earth");
asGlobal.addEventListener("message", { handleEvent: ({ type }: Event) => console.log(type) });
