// Opens the store's file: one owner, WAL, our schema and no newer one, the next boot counted. Whatever is wrong is told here, before anything is served.
// Never opens the database file by another way while SQLite holds it: closing such a descriptor would drop SQLite's lock. SPEC: STO4, STO11
import { closeSync, existsSync, fsyncSync, openSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Instant, instant } from '../../core/time.ts'
import { StoreFault } from '../store-fault.ts'
import { columnsOf } from './row.ts'
import { faultOf } from './sqlite-fault.ts'

export const MEMORY = ':memory:'
const APPLICATION_ID = 0x4e475354 // "NGST"

/** `found` and `ties` of a record repeat what its index rows say, so that a commit that moves neither writes neither. */
const RECORDS = `
  CREATE TABLE dataset (id TEXT NOT NULL, born INTEGER NOT NULL, boot INTEGER NOT NULL, sequence INTEGER NOT NULL) STRICT;
  CREATE TABLE records (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    body TEXT NOT NULL, found TEXT NOT NULL, ties TEXT NOT NULL, forget_at INTEGER, UNIQUE (kind, name)
  ) STRICT;
  CREATE INDEX forgettable ON records (forget_at) WHERE forget_at IS NOT NULL;
  CREATE TABLE found (kind TEXT NOT NULL, value TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (kind, value, record)) STRICT, WITHOUT ROWID;
  CREATE INDEX found_of ON found (record);
  CREATE TABLE ties (kind TEXT NOT NULL, name TEXT NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (kind, name, record)) STRICT, WITHOUT ROWID;
  CREATE INDEX ties_of ON ties (record);
  CREATE TABLE seen (record INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
  CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, epoch TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, parts INTEGER NOT NULL, facts TEXT NOT NULL) STRICT;
  CREATE TABLE operations (sequence INTEGER PRIMARY KEY, operation TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
  CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${APPLICATION_ID};
`
/** A counter stays as long as the last of its takings. */
const BUDGETS = `
  CREATE TABLE counters (name TEXT PRIMARY KEY, taken INTEGER NOT NULL, forget_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX forgettable_counters ON counters (forget_at);
  CREATE TABLE takings (
    counter TEXT NOT NULL, request TEXT NOT NULL, holds INTEGER NOT NULL, returned INTEGER NOT NULL, forget_at INTEGER NOT NULL, PRIMARY KEY (counter, request)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX forgettable_takings ON takings (forget_at);
  CREATE TABLE marks (digest TEXT PRIMARY KEY, forget_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX forgettable_marks ON marks (forget_at);
`
const POOL = `
  CREATE TABLE parts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, member TEXT NOT NULL, text TEXT NOT NULL, forget_at INTEGER NOT NULL, UNIQUE (name, member)) STRICT;
  CREATE INDEX forgettable_parts ON parts (forget_at);
`
const QUEUES = `
  CREATE TABLE queued (place INTEGER PRIMARY KEY, name TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, forget_at INTEGER NOT NULL, UNIQUE (name, id)) STRICT;
  CREATE INDEX queued_in_order ON queued (name, place);
  CREATE INDEX forgettable_queued ON queued (name, forget_at);
  CREATE TABLE dequeued (place INTEGER PRIMARY KEY, name TEXT NOT NULL, id TEXT NOT NULL, forget_at INTEGER NOT NULL, UNIQUE (name, id)) STRICT;
  CREATE INDEX forgettable_dequeued ON dequeued (forget_at);
`
/** What each version of the schema added to the one before; an older file is brought up to date when it is opened. */
const STEPS: readonly string[] = [RECORDS, BUDGETS, POOL, QUEUES]
const SCHEMA_VERSION = STEPS.length

export type OpenedFile = {
  readonly db: DatabaseSync
  readonly epoch: string
  readonly dataSet: string
  readonly sequence: number
  readonly born: Instant
  readonly isNew: boolean
  /** Descriptor of the write-ahead log, for `fdatasync`; null in memory. */
  readonly wal: number | null
}

function pragma(db: DatabaseSync, name: string): number {
  const row = db.prepare(`PRAGMA ${name}`).get()
  return columnsOf(row ?? {}).integer(name)
}

/** Creates the schema in an empty file and what is new of it in an older one. @returns whether the file was empty */
function prepared(db: DatabaseSync): boolean {
  const version = pragma(db, 'user_version')
  const owner = pragma(db, 'application_id')
  const tables = columnsOf(db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() ?? {}).integer('tables')
  const isNew = tables === 0 && version === 0 && owner === 0
  if (!isNew && owner !== APPLICATION_ID) throw new StoreFault('not_ours', 'the file is a database of something else, not a store of this gateway')
  if (version > SCHEMA_VERSION) throw new StoreFault('newer_schema', `the store was written by a newer release (schema ${version}, this one knows ${SCHEMA_VERSION})`)
  if (!isNew && version < 1) throw new StoreFault('corrupt', 'the store file does not say of which schema it is')
  for (const step of STEPS.slice(version)) db.exec(step)
  if (version < SCHEMA_VERSION) db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)
  return isNew
}

function counted(db: DatabaseSync, now: Instant): Omit<OpenedFile, 'db' | 'wal'> {
  db.exec('BEGIN IMMEDIATE')
  const isNew = prepared(db)
  if (isNew) db.prepare('INSERT INTO dataset VALUES (lower(hex(randomblob(16))), ?, 0, 0)').run(now)
  const row = db.prepare('UPDATE dataset SET boot = boot + 1 RETURNING id, born, boot, sequence').get()
  if (row === undefined) throw new StoreFault('corrupt', 'the store file has lost its data set')
  db.exec('COMMIT')
  const { text, integer } = columnsOf(row)
  const dataSet = text('id')
  return { dataSet, epoch: `${dataSet}.${integer('boot')}`, sequence: integer('sequence'), born: instant(integer('born')), isNew }
}

/** Only the owner reads sessions; SQLite gives its other files the same mode. A file that is there already is not touched. */
function createPrivate(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600))
}

/** The boot counter and the names of both files must be on stable storage before the epoch is used. */
function settled(db: DatabaseSync, path: string): number {
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const directory = openSync(dirname(path), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
  return openSync(`${path}-wal`, 'r+')
}

/** @throws StoreFault that says what is wrong with the file. */
export function openFile(file: string, now: Instant): OpenedFile {
  if (file === '') throw new StoreFault('unwritable', 'the store has no file name')
  const path = file === MEMORY ? MEMORY : resolve(file) // absolute: never taken for a URI
  let db: DatabaseSync | null = null
  try {
    if (path !== MEMORY) createPrivate(path)
    db = new DatabaseSync(path, { timeout: 0 })
    // Exclusive before WAL: no shared memory, and the lock is kept from the first access to the end. A second process gets SQLITE_BUSY.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864')
    const data = counted(db, now)
    return { db, ...data, wal: path === MEMORY ? null : settled(db, db.location() ?? path) }
  } catch (error) {
    db?.close()
    throw faultOf(error, `opening ${file}`)
  }
}

export function closeFile({ db, wal }: OpenedFile): void {
  if (wal !== null) closeSync(wal)
  db.close()
}
