import { describe, expect, it } from "vitest";
import { bundleBase } from "../../src/page/browser.js";

const PAGE = new URL("https://phone.test/site/index.html?bundle=x");

describe("the folder of ?bundle=", () => {
  it("is taken relative to the page and ends in a slash", () =>
    expect(["my-bundle", "../other/", "https://phone.test/b"].map((given) => bundleBase(given, PAGE).href)).toEqual([
      "https://phone.test/site/my-bundle/",
      "https://phone.test/other/",
      "https://phone.test/b/",
    ]));

  it.each(["https://elsewhere.test/b", "//elsewhere.test/b", "javascript:alert(1)"])("is refused on another server: %s", (given) =>
    expect(() => bundleBase(given, PAGE)).toThrow("bundle: expected an address on this page's own server"));
});
