import {linalgTables} from './linalg_tables.js';
import {qualityTables} from './quality_tables.js';
import {rankTables} from './rank_tables.js';
import {speedTables} from './speed_tables.js';
import type {Table} from './table.js';

/** Every table that a page holds between its markers, by its name there. */
export const tables: Readonly<Record<string, Table>> = {
  ...qualityTables,
  ...rankTables,
  ...linalgTables,
  ...speedTables,
};
