/* global document, window, localStorage, ResizeObserver */
// The report's behaviour in a browser. It stands in the page as it is, and the page is whole without it.

const root = document.documentElement;
const toolbar = document.getElementById('toolbar');
const search = document.getElementById('search');
const selects = [...toolbar.querySelectorAll('select')];
const shown = document.getElementById('shown');
const blocks = [...document.querySelectorAll('details.chart')];

const rows = [...document.querySelectorAll('tr[data-outcome]')].map((row) => {
  const charts = JSON.parse(row.dataset.charts);
  return { row, charts, text: `${row.textContent} ${charts.join(' ')}`.toLowerCase() };
});

/** Whether each block stood open before a filter opened it. */
let stoodOpen;

function filterRows() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.fromEntries(selects.map((select) => [select.name, select.value]));
  for (const { row, charts, text } of rows) {
    row.hidden = !(
      words.every((word) => text.includes(word)) &&
      (wanted.chart === '' || charts.includes(wanted.chart)) &&
      (wanted.host === '' || row.dataset.host === wanted.host) &&
      (wanted.outcome === '' || row.dataset.outcome === wanted.outcome)
    );
  }
  const active = words.length > 0 || selects.some((select) => select.value !== '');
  showBlocks(active, wanted, words);
  for (const note of document.querySelectorAll('.no-match')) {
    const place = note.closest('section');
    note.hidden = !active || rows.some(({ row }) => !row.hidden && place.contains(row));
  }
  tell();
}

/** While something is looked for, charts stand open where it was found, and away where it was not. */
function showBlocks(active, wanted, words) {
  if (active && stoodOpen === undefined) stoodOpen = new Map(blocks.map((block) => [block, block.open]));
  for (const block of blocks) {
    const own = rows.filter(({ row }) => block.contains(row));
    const bare =
      own.length === 0 &&
      (wanted.chart === '' || wanted.chart === block.dataset.chart) &&
      wanted.host === '' &&
      wanted.outcome === '' &&
      words.every((word) => block.textContent.toLowerCase().includes(word));
    const found = own.some(({ row }) => !row.hidden) || bare;
    block.hidden = active && !found;
    if (active && found) block.open = true;
    if (!active && stoodOpen !== undefined) block.open = stoodOpen.get(block);
  }
  if (!active) stoodOpen = undefined;
}

function tell() {
  const texts = ['artifact', 'reference'].map((kind) => {
    const all = rows.filter(({ row }) => row.dataset.row === kind);
    if (all.length === 0) return '';
    return `${all.filter(({ row }) => !row.hidden).length} of ${all.length} ${kind}s`;
  });
  shown.textContent = texts.filter(Boolean).join(', ');
}

const collator = new Intl.Collator('en', { numeric: true });

function sortable(table) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute('aria-sort', 'none');
    button.addEventListener('click', () => sortBy(table, column, head));
  }
}

function sortBy(table, column, head) {
  const numbers = head.classList.contains('number');
  const first = numbers ? 'descending' : 'ascending';
  const other = numbers ? 'ascending' : 'descending';
  const order = head.getAttribute('aria-sort') === first ? other : first;
  for (const each of table.tHead.rows[0].cells) each.setAttribute('aria-sort', 'none');
  head.setAttribute('aria-sort', order);
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[column];
    return { row, key: cell.dataset.sort ?? cell.textContent.trim() };
  });
  const sign = order === 'ascending' ? 1 : -1;
  keyed.sort((a, b) => {
    // What has no value stands last either way.
    if (a.key === '' || b.key === '') return Number(a.key === '') - Number(b.key === '');
    return sign * (numbers ? Number(a.key) - Number(b.key) : collator.compare(a.key, b.key));
  });
  body.append(...keyed.map(({ row }) => row));
}

function reset() {
  search.value = '';
  for (const select of selects) select.value = '';
  filterRows();
}

/** Storage may be closed to pages from disk; the choice then holds until the page is left. */
function remembered(write) {
  try {
    return write === undefined ? localStorage.getItem('theme') : localStorage.setItem('theme', write);
  } catch {
    return undefined;
  }
}

function chooseTheme(theme) {
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
  else delete root.dataset.theme;
}

function startTheme() {
  const theme = document.getElementById('theme');
  const kept = remembered();
  if (kept === 'light' || kept === 'dark') theme.value = kept;
  chooseTheme(theme.value);
  theme.closest('[hidden]').hidden = false;
  theme.addEventListener('change', () => {
    chooseTheme(theme.value);
    remembered(theme.value);
  });
}

function startKeys() {
  document.addEventListener('keydown', (event) => {
    const typing = /^(?:INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName ?? '');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
    if (event.key === 'Escape' && event.target === search) {
      search.value = '';
      filterRows();
    }
  });
}

/** On paper, everything is unfolded. */
function startPrinting() {
  let folded = [];
  window.addEventListener('beforeprint', () => {
    folded = [...document.querySelectorAll('details:not([open])')];
    for (const each of folded) each.open = true;
  });
  window.addEventListener('afterprint', () => {
    for (const each of folded) each.open = false;
  });
}

for (const table of document.querySelectorAll('table.sortable')) sortable(table);
toolbar.hidden = rows.length === 0;
toolbar.addEventListener('input', filterRows);
toolbar.addEventListener('submit', (event) => event.preventDefault());
document.getElementById('reset').addEventListener('click', reset);
new ResizeObserver(() => root.style.setProperty('--toolbar', `${toolbar.offsetHeight}px`)).observe(toolbar);
startTheme();
startKeys();
startPrinting();
// Browsers keep the fields' content when a page is loaded again.
filterRows();
