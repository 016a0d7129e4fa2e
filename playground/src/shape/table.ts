// The plain table behind every chart, and its CSV.

export type TableValue = string | number | null;

export interface Column {
  /** What a reader sees. */
  readonly label: string;
  /** What stands in the CSV: the API's own word. */
  readonly field: string;
  readonly kind: 'text' | 'count' | 'rate';
}

export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly TableValue[])[];
}

/** CSV as in RFC 4180, raw values, a header of field names; a text that a spreadsheet would run as a formula is disarmed. */
export function toCsv(table: Table): string {
  const lines = [table.columns.map((column) => quoted(column.field)), ...table.rows.map((row) => row.map(csvValue))];
  return lines.map((line) => `${line.join(',')}\r\n`).join('');
}

function csvValue(value: TableValue): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  return quoted(/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
