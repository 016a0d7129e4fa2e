// The retention triangle: which cells are known, still running, or yet to come, and the scale of its colours.

import type { RetentionQuery } from '../api/generated';
import { addUnits, type LocalDate, type Unit } from '../days';
import type { Table } from './table';

/** `running`: the period has begun and not ended, the number may rise. `ahead`: it has not begun. */
export type CellState = 'complete' | 'running' | 'ahead';

export interface TriangleCell {
  readonly index: number;
  readonly retained: number;
  readonly rate: number | null;
  readonly state: CellState;
}

export interface TriangleRow {
  readonly start: LocalDate;
  readonly size: number;
  readonly cells: readonly TriangleCell[];
}

export interface Triangle {
  /** Whether index 0 says nothing, because the event of entry is a return itself. */
  readonly startsWithEverybody: boolean;
  readonly rows: readonly TriangleRow[];
  readonly pooled: RetentionQuery['retention']['pooled'];
  /** Users in all cohorts. */
  readonly users: number;
  /** The rate painted in the strongest colour: index 0 is left out, it would drown the rest. */
  readonly scaleTop: number;
  readonly indexes: readonly number[];
}

export function triangle(answer: RetentionQuery, unit: Unit, today: LocalDate): Triangle {
  const { cohorts, pooled } = answer.retention;
  const rows = cohorts.map((cohort) => ({
    start: cohort.start,
    size: cohort.size,
    cells: cohort.cells.map((cell) => ({
      index: cell.index,
      retained: cell.retained,
      rate: cell.rate ?? null,
      state: cellState(cell.complete, addUnits(cohort.start, unit, cell.index), today),
    })),
  }));
  const everybody = rows.some((row) => row.size > 0) && rows.every((row) => row.cells[0]?.retained === row.size);
  return {
    startsWithEverybody: everybody,
    rows,
    pooled,
    users: rows.reduce((sum, row) => sum + row.size, 0),
    scaleTop: scaleTop(rows),
    indexes: pooled.map((average) => average.index),
  };
}

function cellState(complete: boolean, periodStart: LocalDate, today: LocalDate): CellState {
  if (complete) return 'complete';
  return periodStart <= today ? 'running' : 'ahead';
}

const NICE_TOPS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1];

/** A round rate at or above what nearly all cells after index 0 reach; single freak cells do not stretch the scale. */
function scaleTop(rows: readonly TriangleRow[]): number {
  const rates = rows
    .filter((row) => row.size > 0)
    .flatMap((row) => row.cells.filter((cell) => cell.index > 0 && cell.state === 'complete').map((cell) => cell.rate ?? 0))
    .sort((a, b) => a - b);
  const high = rates[Math.floor((rates.length - 1) * 0.97)] ?? 1;
  return roundTop(high);
}

/** The next round rate at or above one. */
export function roundTop(rate: number): number {
  return NICE_TOPS.find((top) => top >= rate) ?? 1;
}

/** The triangle as a plain table: numbers of users, one column per period. */
export function retentionTable({ rows, indexes }: Triangle): Table {
  return {
    columns: [
      { label: 'Cohort', field: 'cohort', kind: 'text' },
      { label: 'Users', field: 'size', kind: 'count' },
      ...indexes.map((index) => ({ label: String(index), field: `retained_${index}`, kind: 'count' as const })),
      { label: 'Incomplete from', field: 'incomplete_from', kind: 'text' },
    ],
    rows: rows.map((row) => {
      const open = row.cells.find((cell) => cell.state !== 'complete');
      return [
        row.start,
        row.size,
        ...row.cells.map((cell) => (cell.state === 'ahead' ? null : cell.retained)),
        open ? String(open.index) : '',
      ];
    }),
  };
}

export type RowGroup = readonly [TriangleRow, ...TriangleRow[]];

/** Each row by itself, but three and more empty ones in a row together: they say one thing. */
export function rowGroups(rows: readonly TriangleRow[]): RowGroup[] {
  const runs: [TriangleRow, ...TriangleRow[]][] = [];
  for (const row of rows) {
    const last = runs.at(-1);
    if (last && row.size === 0 && last[0].size === 0) last.push(row);
    else runs.push([row]);
  }
  return runs.flatMap((run): RowGroup[] => (run.length < 3 ? run.map((row): RowGroup => [row]) : [run]));
}
