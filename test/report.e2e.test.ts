import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { htmlReport } from '../src/report/html/html-report.ts';
import { reportData } from '../src/report/report-data-build.ts';
import { hostileRun } from '../src/report/test-support/hostile-run.ts';
import { largeRun } from '../src/report/test-support/large-run.ts';
import { onceUnlessRetried } from './story.ts';
import { describeWith, requireTool } from './tools.ts';

/** A page, and everything that the browser said or asked for. */
interface Opened {
  readonly page: Page;
  readonly said: readonly string[];
  readonly requests: readonly string[];
}

describeWith(['chromium'], 'the report in a browser', () => {
  let folder: string;
  let browser: Browser;
  let file: string;

  onceUnlessRetried(launch, close);
  async function launch(): Promise<void> {
    folder = await mkdtemp(join(tmpdir(), 'report-'));
    file = join(folder, 'report.html');
    await writeFile(file, await htmlReport(reportData(largeRun())));
    browser = await chromium.launch({ executablePath: requireTool('chromium'), timeout: 120_000 });
  }
  async function close(): Promise<void> {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }

  async function open(options: BrowserContextOptions = {}, address = pathToFileURL(file).href): Promise<Opened> {
    const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const [said, requests] = [[] as string[], [] as string[]];
    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(String(error)));
    page.on('dialog', (dialog) => {
      said.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(address);
    return { page, said, requests };
  }

  const artifacts = 'tr[data-row=artifact]:visible';
  const references = 'tr[data-row=reference]:visible';
  const style = (page: Page, selector: string, property: string): Promise<string> =>
    page.evaluate(`getComputedStyle(document.querySelector(${JSON.stringify(selector)}))[${JSON.stringify(property)}]`);
  const names = (page: Page): Promise<string[]> => page.locator(`${artifacts} th > code:first-child`).allTextContents();

  it('shows 300 images from disk, asks for nothing else and complains about nothing', async () => {
    const { page, said, requests } = await open();
    expect(await page.locator('h1').textContent()).toBe('Image replication: failed');
    expect(await page.locator(artifacts).count()).toBe(308);
    expect(await page.locator('#shown').textContent()).toBe('308 of 308 artifacts, 51 of 51 references');
    expect(said).toEqual([]);
    expect(requests).toEqual([pathToFileURL(file).href]);
    await page.context().close();
  });

  it('is one request from a web server, too', async () => {
    const content = await readFile(file);
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.setHeader('content-type', 'text/html').end(content);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo; // Not a pipe: it listens on an address.
    const { page, said } = await open({}, `http://127.0.0.1:${port}/report.html`);
    await page.getByLabel('Search').fill('kyverno');
    expect(said).toEqual([]);
    expect(asked).toEqual(['/report.html']);
    await page.context().close();
    server.close();
  });

  it('searches: "/" leads to the field, every word has to match, Escape clears', async () => {
    const { page } = await open();
    await page.keyboard.press('/');
    await page.keyboard.type('QUAY.io exporter');
    expect(await page.getByLabel('Search').inputValue()).toBe('QUAY.io exporter');
    const found = await names(page);
    expect(found.length).toBeGreaterThan(5);
    for (const name of found) expect(name).toMatch(/quay\.io.*exporter/);
    expect(await page.locator('#shown').textContent()).toContain(`${found.length} of 308 artifacts`);
    await page.getByLabel('Search').fill('no such thing');
    expect(await page.locator(artifacts).count()).toBe(0);
    expect(await page.locator('.no-match:visible').count()).toBe(2);
    await page.keyboard.press('Escape');
    expect(await page.locator(artifacts).count()).toBe(308);
    expect(await page.locator('.no-match:visible').count()).toBe(0);
    await page.context().close();
  });

  it('filters by chart, host and outcome, and unfolds the charts in which something was found', async () => {
    const { page } = await open();
    const stoodOpen = await page.locator('details.chart[open]').count();
    expect(stoodOpen).toBe(1);
    await page.getByRole('combobox', { name: 'Chart' }).selectOption('grafana');
    expect(await page.locator('details.chart:visible').count()).toBe(1);
    expect(await page.locator(references).count()).toBe(6);
    const ofGrafana = await page.locator(artifacts).count();
    await page.getByRole('combobox', { name: 'Host' }).selectOption('quay.io');
    const atQuay = await names(page);
    expect(atQuay.length).toBeGreaterThan(0);
    expect(atQuay.length).toBeLessThan(ofGrafana);
    for (const name of atQuay) expect(name).toMatch(/^quay\.io\//);
    await page.getByRole('button', { name: 'Reset' }).click();
    await page.getByRole('combobox', { name: 'Outcome' }).selectOption({ label: 'not covered' });
    expect(await page.locator(`${references} th > code:first-child`).allTextContents()).toEqual([
      'quay.io/hard-coded/by-the-chart:v2',
    ]);
    await page.getByRole('button', { name: 'Reset' }).click();
    expect(await page.locator('details.chart:visible').count()).toBe(8);
    expect(await page.locator('details.chart[open]').count()).toBe(stoodOpen);
    await page.context().close();
  });

  it('sorts by a column, numbers as numbers, what has none last, and says so to readers of the page', async () => {
    const { page } = await open();
    const table = page.locator('#artifacts table');
    const heading = table.locator('th[scope=col]', { hasText: 'Sent' });
    expect(await heading.getAttribute('aria-sort')).toBe('none');
    const sent = async (): Promise<number[]> => {
      const cells = await table
        .locator('tbody tr td[data-label=Sent]')
        .evaluateAll((all: { dataset: { sort: string } }[]) =>
          all.map(({ dataset }) => (dataset.sort === '' ? -1 : Number(dataset.sort))),
        );
      return cells;
    };
    await heading.getByRole('button').click();
    expect(await heading.getAttribute('aria-sort')).toBe('descending');
    const down = await sent();
    expect(Math.max(...down)).toBeGreaterThan(0);
    expect(down).toEqual([...down].sort((a, b) => b - a));
    await page.keyboard.press('Enter');
    expect(await heading.getAttribute('aria-sort')).toBe('ascending');
    const up = (await sent()).filter((each) => each >= 0);
    expect(up).toEqual([...up].sort((a, b) => a - b));
    expect((await sent()).slice(up.length).every((each) => each === -1)).toBe(true);
    const names1 = table.locator('th[scope=col]', { hasText: 'Image or chart' });
    await names1.getByRole('button').click();
    expect(await heading.getAttribute('aria-sort')).toBe('none');
    const sorted = await names(page);
    expect(sorted).toEqual([...sorted].sort(new Intl.Collator('en', { numeric: true }).compare));
    await page.context().close();
  });

  it('keeps the toolbar and the headings in sight', async () => {
    const { page } = await open();
    await page.locator(artifacts).nth(150).scrollIntoViewIfNeeded();
    const toolbar = await page.locator('#toolbar').boundingBox();
    const heading = await page.locator('#artifacts thead th').first().boundingBox();
    expect(toolbar?.y).toBe(0);
    expect(heading?.y).toBeCloseTo(toolbar?.height ?? -1, 0);
    await page.context().close();
  });

  it.each([360, 1200])('is read from top to bottom in a window of %i pixels, and still sorted', async (width) => {
    const { page } = await open({ viewport: { width, height: 800 } });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    const rows = await page.locator(artifacts).evaluateAll((all: { offsetHeight: number }[]) =>
      // What a row holds takes some 10 lines where it stands below each other.
      all.map(({ offsetHeight }) => offsetHeight),
    );
    expect(Math.max(...rows)).toBeLessThan(500);
    expect(await page.locator(`${artifacts} td[data-label][data-sort='']:visible`).count()).toBe(0);
    expect(await page.locator(`${artifacts} td[data-label=Platforms]`).first().isVisible()).toBe(true);
    const first = (await names(page))[0];
    await page.locator('#artifacts thead').getByRole('button', { name: 'Host' }).click();
    expect((await names(page))[0]).not.toBe(first);
    await page.context().close();
  });

  it('is light or dark as the system is, or as one chooses, which is remembered', async () => {
    const { page } = await open({ colorScheme: 'dark' });
    expect(await style(page, 'body', 'backgroundColor')).toBe('rgb(20, 24, 29)');
    await page.emulateMedia({ colorScheme: 'light' });
    expect(await style(page, 'body', 'backgroundColor')).toBe('rgb(255, 255, 255)');
    await page.getByRole('combobox', { name: 'Theme' }).selectOption('dark');
    expect(await style(page, 'body', 'backgroundColor')).toBe('rgb(20, 24, 29)');
    await page.reload();
    expect(await style(page, 'body', 'backgroundColor')).toBe('rgb(20, 24, 29)');
    await page.context().close();
  });

  it.each(['light', 'dark'] as const)(
    'has texts that can be read: contrast of 4.5 and more when %s',
    async (colorScheme) => {
      const { page } = await open({ colorScheme });
      for (const selector of [
        'body',
        '.soft',
        '.card .soft',
        '.toolbar label',
        'nav a',
        '.badge.good',
        '.badge.calm',
        '.badge.warn',
        '.badge.bad',
        'tbody .sub',
      ]) {
        const behind = /card|toolbar/.test(selector) ? '.card' : 'body';
        const [text, ground] = [await style(page, selector, 'color'), await style(page, behind, 'backgroundColor')];
        expect(contrast(text, ground), selector).toBeGreaterThanOrEqual(4.5);
      }
      await page.context().close();
    },
  );

  it('can be used by keyboard: the first stop skips to the content, and where one stands is visible', async () => {
    const { page } = await open();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
    await page.keyboard.press('/');
    for (const stop of ['chart', 'host', 'outcome', 'reset']) {
      await page.keyboard.press('Tab');
      expect(await page.evaluate('document.activeElement.name || document.activeElement.id')).toBe(stop);
      expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    }
    await page.context().close();
  });

  it('has tables and headings that a screen reader can follow', async () => {
    const { page } = await open();
    expect(await page.locator('th:not([scope])').count()).toBe(0);
    expect(await page.locator('tbody tr:not(:has(th[scope=row]))').count()).toBe(0);
    expect(await page.locator('table.sortable:not(:has(caption))').count()).toBe(0);
    const levels = await page
      .locator('h1, h2, h3, h4')
      .evaluateAll((all: { tagName: string }[]) => all.map(({ tagName }) => Number(tagName.slice(1))));
    expect(levels[0]).toBe(1);
    for (const [index, level] of levels.entries()) expect(level - (levels[index - 1] ?? 1)).toBeLessThanOrEqual(1);
    const ids = await page.locator('[id]').evaluateAll((all: { id: string }[]) => all.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    await page.context().close();
  });

  it('is whole without its script', async () => {
    const { page } = await open({ javaScriptEnabled: false });
    expect(await page.locator(artifacts).count()).toBe(308);
    expect(await page.locator('#toolbar').isVisible()).toBe(false);
    expect(await page.getByRole('combobox', { name: 'Theme' }).isVisible()).toBe(false);
    await page.context().close();
  });

  it('is printed unfolded, without what paper cannot do', async () => {
    const { page } = await open();
    const folded = await page.locator('details:not([open])').count();
    await page.emulateMedia({ media: 'print' });
    await page.evaluate('window.dispatchEvent(new Event("beforeprint"))');
    expect(await page.locator('details:not([open])').count()).toBe(0);
    expect(await page.locator('#toolbar').isVisible()).toBe(false);
    await page.evaluate('window.dispatchEvent(new Event("afterprint"))');
    expect(await page.locator('details:not([open])').count()).toBe(folded);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
    await page.context().close();
  });

  it('is not steered by hostile names', async () => {
    const other = join(folder, 'hostile.html');
    const run = hostileRun();
    await writeFile(other, await htmlReport(reportData(run)));
    const { page, said, requests } = await open({}, pathToFileURL(other).href);
    const options = await page.getByRole('combobox', { name: 'Chart' }).locator('option').allTextContents();
    for (const { key } of run.charts.filter(({ key: name }) => !/\p{C}/u.test(name))) {
      expect(options).toContain(key);
      await page.getByRole('combobox', { name: 'Chart' }).selectOption(key);
      expect(await page.locator(references).count()).toBe(1);
    }
    expect(await page.locator('body :is(img, style, [onmouseover], [onerror])').count()).toBe(0);
    expect(await page.locator('body script').count()).toBe(1);
    expect(said).toEqual([]);
    expect(requests).toHaveLength(1);
    await page.context().close();
  });
});

/** @see https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio */
function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? []).map((part) => {
    const share = Number(part) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
