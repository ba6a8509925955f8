/** Replaces the global `BroadcastChannel` in this thread. */
export {};
