'use strict';
// node-postgres: node client.js DSN SCENARIO...; NODE_PATH names the folder of its modules.
// One line per scenario, `ok NAME` or `differs NAME: what`; see tests/README.md.

const assert = require('node:assert');
const crypto = require('node:crypto');
const {Client} = require('pg');
const {from, to} = require('pg-copy-streams');
const {Readable} = require('node:stream');
const {pipeline: flow} = require('node:stream/promises');

const TEXT = 'Grüße \'und" \\ %s ☃';
const ROWS = 100000;
const WIDE = 8 << 20;
const SETTINGS = {
  timezone: 'Asia/Kathmandu', work_mem: '7MB', 'rig.custom': 'of this client',
};

// sslmode then means what it means to libpq.
function configured(dsn) {
  const url = new URL(dsn);
  const binding = url.searchParams.get('channel_binding') === 'require';
  url.searchParams.delete('channel_binding');
  if (url.searchParams.has('sslmode')) url.searchParams.set('uselibpqcompat', 'true');
  return {connectionString: url.href, enableChannelBinding: binding};
}

async function using(dsn, action) {
  const client = new Client(configured(dsn));
  client.on('error', () => {}); // what it reports here it also rejects with
  await client.connect();
  try {
    return await action(client);
  } finally {
    await client.end();
  }
}

async function one(client, query) {
  return Object.values((await client.query(query)).rows[0])[0];
}

async function fails(client, query, code) {
  await assert.rejects(client.query(query), {code});
}

const scenarios = {
  connect: (dsn) => using(dsn, async (client) => {
    assert.strictEqual(await one(client, 'SELECT 1'), 1);
  }),

  simple: (dsn) => using(dsn, async (client) => {
    const results = await client.query("SELECT 1 AS a; SELECT 2 AS a; SELECT 'three' AS a");
    assert.deepStrictEqual(results.map((result) => result.rows[0].a), [1, 2, 'three']);
  }),

  text_parameters: (dsn) => using(dsn, async (client) => {
    const data = Buffer.from([0, 255, 128, 39, 92]);
    for (let n = 0; n < 12; n++) {
      const values = [TEXT, data, n, null];
      const text = 'SELECT $1::text AS a, $2::bytea AS b, $3::int AS c, $4::text AS d';
      const row = (await client.query({text, values})).rows[0];
      assert.deepStrictEqual(Object.values(row), values);
    }
  }),

  binary_parameters: (dsn) => using(dsn, async (client) => {
    for (let n = 0; n < 12; n++) {
      const query = {text: 'SELECT $1::int AS a', values: [n], binary: true};
      assert.strictEqual(await one(client, query), n);
    }
  }),

  prepared: (dsn) => using(dsn, async (client) => {
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 8; n++) {
        const query = {name: `add ${n}`, text: `SELECT $1::int + ${n}`, values: [round]};
        await client.query('BEGIN');
        assert.strictEqual(await one(client, query), round + n);
        await client.query('COMMIT');
        assert.strictEqual(await one(client, query), round + n);
      }
    }
  }),

  unnamed: (dsn) => using(dsn, async (client) => {
    for (let n = 0; n < 20; n++) {
      const query = {text: 'SELECT $1::int * 2', values: [n]};
      assert.strictEqual(await one(client, query), 2 * n);
    }
  }),

  copy: (dsn) => using(dsn, async (client) => {
    const rows = Array.from({length: ROWS}, (_, n) => `${n}\tvalue ${n}\n`);
    await client.query('BEGIN');
    await client.query('CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP');
    await flow(Readable.from(rows), client.query(from('COPY copied FROM STDIN')));
    const stream = client.query(to('COPY (SELECT * FROM copied ORDER BY n) TO STDOUT'));
    const back = [];
    for await (const chunk of stream) back.push(chunk);
    assert.ok(Buffer.concat(back).equals(Buffer.from(rows.join(''))));
    await client.query('COMMIT');
  }),

  error: (dsn) => using(dsn, async (client) => {
    for (let round = 0; round < 3; round++) {
      await client.query('BEGIN');
      await fails(client, {text: 'SELECT 1/$1::int', values: [0]}, '22012');
      await fails(client, {text: 'SELECT $1::int', values: [1]}, '25P02');
      await client.query('ROLLBACK');
      assert.strictEqual(await one(client, {text: 'SELECT $1::int', values: [7]}), 7);
    }
    await fails(client, 'SELEC', '42601');
  }),

  settings: (dsn) => using(dsn, async (client) => {
    for (const [key, value] of Object.entries(SETTINGS)) {
      await client.query(`SET ${key} = '${value}'`);
    }
    for (let n = 0; n < 20; n++) {
      for (const [key, value] of Object.entries(SETTINGS)) {
        assert.strictEqual(await one(client, `SHOW ${key}`), value);
      }
    }
  }),

  large_result: (dsn) => using(dsn, async (client) => {
    const text = "SELECT n, repeat('x', 100) FROM generate_series(1, $1::int) n";
    const {rows} = await client.query({text, values: [ROWS]});
    assert.strictEqual(rows.reduce((sum, row) => sum + row.n, 0), ROWS * (ROWS + 1) / 2);
    const wide = await one(client, {text: "SELECT repeat('y', $1::int)", values: [WIDE]});
    assert.strictEqual(wide.length, WIDE);
  }),

  cancel: (dsn) => using(dsn, (client) => using(dsn, async (watcher) => {
    const name = crypto.randomUUID();
    const sleeping = fails(client, `SELECT pg_sleep(60) /* ${name} */`, '57014');
    const asleep = "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event = 'PgSleep' " +
        `AND query LIKE '%${name}%'`;
    while (await one(watcher, asleep) === 0);
    // Its own cancel says nothing on TLS; a server takes the request in clear as well.
    new Client({...configured(dsn), ssl: false}).cancel(client, client.activeQuery);
    await sleeping;
    assert.strictEqual(await one(client, 'SELECT 5'), 5);
  })),

  listen: (dsn) => using(dsn, (client) => using(dsn, async (teller) => {
    const heard = new Promise((resolve) => client.on('notification', resolve));
    await client.query('LISTEN rig');
    await teller.query("NOTIFY rig, 'news'");
    assert.strictEqual((await heard).payload, 'news');
  })),
};

async function main([dsn, ...names]) {
  for (const name of names) {
    try {
      await scenarios[name](dsn);
      console.log(`ok ${name}`);
    } catch (difference) {
      console.log(`differs ${name}: ${String(difference).replace(/\s+/g, ' ')}`);
    }
  }
}

main(process.argv.slice(2));
