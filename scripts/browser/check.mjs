// Opens pages in a browser: nothing is asked of the network, the console stays empty, nothing sticks out sideways, axe finds nothing serious, and
// all can be read without JavaScript.
//
//   node check.mjs MODULES CHROMIUM SCREENSHOTS PAGE…
//
// MODULES is the folder into which npm installed. Pictures of each page at 360 and 1,280 pixels, light and dark, go to SCREENSHOTS.
import { createRequire } from "node:module";
import { readFileSync, mkdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, chromium, screenshots, ...pages] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "package.json"));
const { chromium: browsers } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(screenshots, { recursive: true });

const browser = await browsers.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let wrong = 0;
const complain = text => { wrong += 1; console.log(`FINDING ${text}`); };

for (const page of pages) {
  const url = pathToFileURL(resolve(page)).href;
  const name = basename(page, ".html");
  for (const colorScheme of ["light", "dark"])
    for (const width of [360, 1280]) {
      // axe is added by the test, which the policy of the page would forbid.
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      const tab = await context.newPage();
      const about = `${name}, ${width} px, ${colorScheme}`;
      tab.on("request", request => { if (!/^(file|data):/.test(request.url())) complain(`${about}: asks for ${request.url()}`); });
      tab.on("console", message => complain(`${about}: console: ${message.text()}`));
      tab.on("pageerror", error => complain(`${about}: ${error}`));
      await tab.goto(url);
      await tab.waitForTimeout(300);
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 1) complain(`${about}: ${wide} px stick out`);
      await tab.addScriptTag({ content: axe });
      const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      for (const { id, impact, nodes } of found.violations)
        if (["serious", "critical"].includes(impact)) complain(`${about}: axe ${id} (${impact}), ${nodes.length} times: ${nodes[0].html.slice(0, 160)} ${nodes[0].failureSummary?.split("\n")[1] ?? ""}`);
      const canvas = await tab.$("#map-canvas");
      if (canvas) {
        await canvas.scrollIntoViewIfNeeded();
        const drawn = await canvas.evaluate(map => map.getContext("2d").getImageData(0, 0, map.width, map.height).data.some(value => value > 0));
        if (!drawn) complain(`${about}: the map is empty`);
        await canvas.hover();
        await tab.mouse.wheel(0, -400);
        const box = await canvas.boundingBox();
        for (let at = 0.1; at < 0.9; at += 0.02) await tab.mouse.move(box.x + box.width * at, box.y + box.height * at);
        await canvas.focus();
        await tab.keyboard.press("+");
        await tab.keyboard.press("ArrowLeft");
        await tab.evaluate(() => scrollTo(0, 0));
      }
      await tab.screenshot({ path: join(screenshots, `${name}-${width}-${colorScheme}.png`), fullPage: width === 1280 && colorScheme === "light" });
      await context.close();
    }
  // With the policy as it is the page's own script runs; without a script all can still be read.
  for (const javaScriptEnabled of [true, false]) {
    const context = await browser.newContext({ javaScriptEnabled });
    const tab = await context.newPage();
    const about = `${name}, ${javaScriptEnabled ? "own policy" : "no script"}`;
    tab.on("console", message => complain(`${about}: console: ${message.text()}`));
    await tab.goto(url);
    if (javaScriptEnabled && !(await tab.evaluate(() => document.documentElement.classList.contains("has-js")))) complain(`${about}: its script did not run`);
    if (!javaScriptEnabled) {
      const sections = await tab.locator("section h2").count();
      if (sections === 0) complain(`${about}: nothing to read`);
      const maps = await tab.locator(".no-js.maps img").count();
      if ((await tab.locator("#map-canvas").count()) > 0 && maps === 0) complain(`${about}: no picture of the map`);
    }
    await context.close();
  }
  console.log(`looked at ${name}`);
}
await browser.close();
process.exit(wrong ? 1 : 0);
