/**
 * Owns driving a page in a real browser: reads a scenario (JSON, standard input), prints what happened (JSON).
 *
 * Scenario: {
 *   "url": string,
 *   "executable": path of the browser ("/usr/bin/chromium"), "flags": [browser flags beyond the usual ones],
 *   "viewport": {"width", "height"}, "color_scheme": "light" | "dark", "ignore_https_errors": bool,
 *   "block": [substrings of addresses whose requests are aborted from the start],
 *   "timeout_seconds": of each step (60),
 *   "steps": [ one of
 *     {"evaluate": "script text; may await; its value goes into results", "as": name, "timeout_seconds": n},
 *     {"click": selector}, {"fill": [selector, text]}, {"type": text}, {"press": key},
 *     {"select": [selector, value]}, {"wait": selector, "state": "visible" | "hidden" | "attached"}, {"wait_text": [selector, part of its text]},
 *     {"text": selector, "as": name}, {"screenshot": path, "full": bool}, {"viewport": {"width", "height"}},
 *     {"block": [substrings]}, {"break_after": [substring, bytes, times]}, {"reload": true}, {"goto": url}, {"pause_seconds": n} ]
 * }
 * Printed: {"results": {name: value}, "console": [{type, text}], "errors": [uncaught], "requests": [addresses],
 *   "failed": [addresses], "statuses": {address: [status, ...]}, "fault": null | {"step", "message"}}
 * Exit status 0 also when a step failed (see fault); 2 when the scenario or the browser did not start.
 *
 * `break_after` lets the first `times` answers to matching requests end after so many bytes.
 */

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const USUAL_FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
];

const scenario = JSON.parse(readFileSync(0, "utf8"));
const log = { results: {}, console: [], errors: [], requests: [], failed: [], statuses: {}, fault: null };
const timeoutOf = (step) => 1000 * (step.timeout_seconds ?? scenario.timeout_seconds ?? 60);

const STEPS = {
  evaluate: (page, text) => page.evaluate(`(async () => { ${/\breturn\b/.test(text) ? text : `return (${text});`} })()`),
  click: (page, selector) => page.click(selector),
  fill: (page, [selector, text]) => page.fill(selector, text),
  type: (page, text) => page.keyboard.type(text),
  press: (page, key) => page.keyboard.press(key),
  select: (page, [selector, value]) => page.selectOption(selector, value).then(() => undefined),
  wait: (page, selector, step) => page.waitForSelector(selector, { state: step.state ?? "visible", timeout: timeoutOf(step) }).then(() => undefined),
  wait_text: (page, [selector, part], step) =>
    page.locator(selector).filter({ hasText: part }).first().waitFor({ timeout: timeoutOf(step) }),
  text: (page, selector) => page.textContent(selector),
  screenshot: (page, path, step) => page.screenshot({ path, fullPage: step.full === true }).then(() => undefined),
  viewport: (page, size) => page.setViewportSize(size),
  block: (page, parts) => block(page, parts),
  break_after: (page, [part, bytes, times]) => breakAfter(page, part, bytes, times),
  reload: (page) => page.reload().then(() => undefined),
  goto: (page, url) => page.goto(url).then(() => undefined),
  pause_seconds: (_page, seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds)),
};

async function main() {
  const browser = await chromium.launch({
    executablePath: scenario.executable ?? "/usr/bin/chromium",
    headless: true,
    ignoreDefaultArgs: ["--headless", "--hide-scrollbars"],
    args: [...USUAL_FLAGS, ...(scenario.flags ?? [])],
  });
  try {
    const context = await browser.newContext({
      viewport: scenario.viewport ?? { width: 1280, height: 800 },
      colorScheme: scenario.color_scheme ?? "light",
      ignoreHTTPSErrors: scenario.ignore_https_errors === true,
    });
    const page = await context.newPage();
    listen(page);
    await block(page, scenario.block ?? []);
    await page.goto(scenario.url);
    await follow(page, scenario.steps ?? []);
  } finally {
    await browser.close();
  }
}

/** Note what the page asks for and says. */
function listen(page) {
  page.on("console", (message) => log.console.push({ type: message.type(), text: message.text() }));
  page.on("pageerror", (error) => log.errors.push(String(error)));
  page.on("request", (request) => log.requests.push(request.url()));
  page.on("requestfailed", (request) => log.failed.push(request.url()));
  page.on("response", (response) => (log.statuses[response.url()] ??= []).push(response.status()));
}

/** Take the steps in order; the first that fails ends them. */
async function follow(page, steps) {
  for (const [place, step] of steps.entries()) {
    const kind = Object.keys(STEPS).find((name) => name in step);
    try {
      if (kind === undefined) throw new Error(`no such step: ${Object.keys(step).join(", ")}`);
      const value = await withinTime(STEPS[kind](page, step[kind], step), timeoutOf(step));
      if (step.as !== undefined) log.results[step.as] = value ?? null;
    } catch (error) {
      log.fault = { step: place, message: String(error.message ?? error) };
      return;
    }
  }
}

function withinTime(work, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function block(page, parts) {
  for (const part of parts) await page.route((url) => url.href.includes(part), (route) => route.abort());
}

/** Let answers break off: the page gets their first bytes, then the connection is gone. */
async function breakAfter(page, part, bytes, times) {
  const session = await page.context().newCDPSession(page);
  let left = times;
  await session.send("Fetch.enable", { patterns: [{ urlPattern: `*${part}*`, requestStage: "Response" }] });
  session.on("Fetch.requestPaused", async ({ requestId, responseStatusCode, responseHeaders }) => {
    if (left <= 0) return session.send("Fetch.continueRequest", { requestId }).catch(() => {});
    left -= 1;
    const { body, base64Encoded } = await session.send("Fetch.getResponseBody", { requestId });
    const whole = Buffer.from(body, base64Encoded ? "base64" : "utf8");
    await session.send("Fetch.fulfillRequest", {
      requestId,
      responseCode: responseStatusCode,
      responseHeaders: responseHeaders.filter(({ name }) => name.toLowerCase() !== "content-length"),
      body: whole.subarray(0, bytes).toString("base64"),
    });
  });
}

try {
  await main();
  process.stdout.write(`${JSON.stringify(log)}\n`);
} catch (error) {
  process.stderr.write(`drive: ${error.message ?? error}\n`);
  process.exitCode = 2;
}
