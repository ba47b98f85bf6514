/** Owns the page that browser tests drive: the runtime's exports as `window.edgedraft`. */

import * as runtime from "../../src/runtime/index.js";

Object.assign(window, { edgedraft: runtime });
