// Opens the page in Chromium as a person would and says what there was to be seen: look.cjs CHROMIUM JOBS, where JOBS is a
// JSON list of {url, scheme, width, until, token?, window?, picture?}. For each, when the text `until` is there: one line of
// JSON with the text, the tree that a screen reader gets, everything that was asked for, and what was wrong.
"use strict";

const { chromium } = require("playwright-core");

/** In the page: text whose contrast is below WCAG's AA for text of its size. */
function faint() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === "" || !element.checkVisibility() || element.closest("svg, noscript")) continue;
    let behind = element, ground;
    do {
      ground = parse(getComputedStyle(behind).backgroundColor);
      behind = behind.parentElement;
    } while (ground[3] === 0 && behind);
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${texts.currentNode.data}`);
  }
  return found;
}

async function look(browser, job) {
  const context = await browser.newContext({ colorScheme: job.scheme, viewport: { width: job.width, height: 800 } });
  const page = await context.newPage();
  const asked = [], wrong = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(message.text()); });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(job.url);
  for (const token of job.tokens ?? []) {
    await page.getByLabel("Token").fill(token);
    const answered = page.waitForResponse(/status\.json/);
    await page.keyboard.press("Enter");
    await answered;
  }
  if (job.window) await page.getByLabel(job.window).check();
  await page.getByText(job.until).first().waitFor();
  const seen = await page.evaluate(() => ({
    title: document.title, ground: getComputedStyle(document.body).backgroundColor,
    images: document.images.length, scripts: document.scripts.length,
    widest: document.documentElement.scrollWidth, storage: Object.keys(localStorage).length, cookies: document.cookie }));
  const text = await page.locator("body").innerText();
  const tree = await page.locator("body").ariaSnapshot();
  if (job.picture) await page.screenshot({ path: job.picture, fullPage: true });
  console.log(JSON.stringify({ ...seen, text, tree, asked, wrong, faint: await page.evaluate(faint) }));
  await context.close();
}

(async () => {
  const [executablePath, jobs] = process.argv.slice(2);
  // In a container as root there is no sandbox to be had, and nothing but our own page is opened.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  for (const job of JSON.parse(jobs)) await look(browser, job);
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
