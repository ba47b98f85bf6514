/** Starts the page: the store, the actions that change it, and the real ports. */

import { createActions } from "./actions.js";
import { browserPorts } from "./browser.js";
import { mount } from "./mount.js";
import { INITIAL } from "./state.js";
import { createStore } from "./store.js";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element with the id root");
const store = createStore(INITIAL);
const actions = createActions(store, browserPorts(new URL(location.href)));
mount(root, store, actions, (draw) => void requestAnimationFrame(draw));
void actions.opening.open();
