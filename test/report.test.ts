import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ava, { type ExecutionContext } from 'ava';
import { chromium, type Browser, type Page } from 'playwright-core';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { root, workplace, type Workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const test = ava.serial;

const installed = await findTool('chromium', undefined).catch(() => undefined);
const inBrowser = installed ? test : test.skip;
const NEEDS_BROWSER = installed ? '' : ' (SKIPPED: Chromium is not installed)';

let browser: Browser | undefined;
let server: TestServer;
test.before(async () => {
  server = await testServer();
  if (installed) browser = await chromium.launch({ executablePath: installed, args: ['--no-sandbox'] });
});
test.after.always(async () => {
  await browser?.close();
  await server?.stop();
});

/** A page that is opened from its file alone; whatever it complains of or asks for is a failure. */
async function opened(
  t: ExecutionContext,
  file: string,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<Page> {
  const page = await browser!.newPage(options);
  t.teardown(() => page.close());
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith('file:')) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(file).href);
  await page.waitForTimeout(200);
  t.deepEqual(complaints, []);
  return page;
}

const backOf = (page: Page): Promise<string> =>
  page.evaluate('getComputedStyle(document.body).backgroundColor');

/** A run with names that would be HTML, Markdown or worse, if somebody let them. */
async function hostile(t: ExecutionContext): Promise<{ work: Workplace; env: Record<string, string> }> {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql(
    `create table "<img src=x onerror=alert(1)>" (id int primary key, "a|b" text);
     insert into "<img src=x onerror=alert(1)>" values (1, 'x'); create table kept (id int primary key)`,
    name,
  );
  await work.file('V001__lose.sql', 'delete from "<img src=x onerror=alert(1)>";\n');
  await work.file(
    'playbook.yml',
    'version: 1\nname: hostile\nblue: ${DATABASE_URL}\nmigrate: [sql: { directory: . }]\ngate: open\nswitch: { targets: [database-rename] }\n',
  );
  const env = { DATABASE_URL: server.url(name) };
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 5);
  return { work, env };
}

test('a rehearsal as Markdown and as one file of HTML that names nothing outside', async (t) => {
  const work = await workplace(t);
  const words = [
    'rehearse',
    join(root, 'playbooks/quickstart.yml'),
    '--html',
    'r.html',
    '--markdown',
    'r.md',
  ];
  const { code, err } = await work.cutover(words);
  t.is(code, 0, err);
  const markdown = await readFile(join(work.folder, 'r.md'), 'utf8');
  t.regex(markdown, /^# Rehearsal of quickstart\n\n\*\*✔ every promise was kept here\.\*\*/);
  t.regex(markdown, /^\| writes \| ok \| .*none lost, none doubled \|$/m);
  t.regex(
    markdown,
    /^## Run 2\n\n\| Step \| State \| Took \| Estimated \|\n\|---\|---\|---\|---\|\n\| preflight \| done \| /m,
  );
  const page = await readFile(join(work.folder, 'r.html'), 'utf8');
  const own = page.replaceAll(/<script>[^]*?<\/script>/g, '');
  t.notRegex(own, /https?:\/\/|src=|@import|url\(/);
  t.notRegex(page, /cutover-rehearsal-/);
  if (!browser) return;
  const light = await opened(t, join(work.folder, 'r.html'), { viewport: { width: 1200, height: 900 } });
  t.is(await light.getByRole('status').innerText(), '✔ every promise was kept here.');
  t.is(await light.locator('canvas').count(), 2);
  t.true((await light.getByRole('row').count()) > 8);
  t.true((await light.locator('.lanes li').count()) > 15);
  t.is(await light.getByRole('img').count(), 2);
  // The figures are there without eyes and without a mouse.
  const figures = light.getByText('The figures as a table');
  t.false(await light.getByText('Largest, ms').isVisible());
  await figures.focus();
  await light.keyboard.press('Enter');
  t.true(await light.getByText('Largest, ms').isVisible());
  const dark = await opened(t, join(work.folder, 'r.html'), { colorScheme: 'dark' });
  t.not(await backOf(dark), await backOf(light));
  const phone = await opened(t, join(work.folder, 'r.html'), { viewport: { width: 390, height: 800 } });
  t.true(await phone.evaluate('document.documentElement.scrollWidth <= innerWidth'));
  const [chart] = await phone.locator('.chart canvas').all();
  t.true((await chart!.boundingBox())!.width <= 390);
});

inBrowser(`a run as HTML: what is hostile stays text${NEEDS_BROWSER}`, async (t) => {
  const { work } = await hostile(t);
  const { code, err } = await work.cutover(['report', '--html', 'run.html']);
  t.is(code, 0, err);
  const page = await opened(t, join(work.folder, 'run.html'));
  t.regex(
    await page.getByRole('status').innerText(),
    /^✖ unwound; blue is live \(database shop_\w+\): verification found/,
  );
  t.is(await page.locator('img').count(), 0);
  t.regex(
    await page.locator('main').innerText(),
    /public\."<img src=x onerror=alert\(1\)>" has 1 row on blue and 0 on green/,
  );
  t.regex(await page.locator('main').innerText(), /verify: failed/);
});

test('a run as Markdown and as JUnit', async (t) => {
  const { work } = await hostile(t);
  const { code, out, err } = await work.cutover(['report']);
  t.is(code, 0, err);
  t.regex(out, /^# Run \S+ of hostile\n\n\*\*✖ unwound; blue is live/);
  t.regex(out, /\| row-counts \| failure \| public\."\\<img src=x onerror=alert\(1\)\\>" has 1 row/);
  t.regex(out, /^\| clone \| undone \| .* \| about .* \|$/m);
  t.regex(out, /^\| \d{4}-\d\d-\d\dT\S+ \| verify: failed/m);
  t.is((await work.cutover(['report', '--junit', 'run.xml'])).code, 0);
  t.regex(await readFile(join(work.folder, 'run.xml'), 'utf8'), /<testsuite name="cutover" .*failures="2"/);
  const none = await work.cutover(['report', 'nothing']);
  t.is(none.code, 2);
  t.regex(none.err, /there is no run nothing/);
  t.is((await work.cutover(['report', '--html', 'no/such/file.html'])).code, 2);
});
