// Calendar days as text, YYYY-MM-DD, exactly as the API speaks them. Arithmetic is on day numbers,
// so no time zone of the browser can shift a day. Weeks start on Monday.

export type LocalDate = string;
export type Unit = 'day' | 'week' | 'month';
export interface Range {
  readonly from: LocalDate;
  readonly to: LocalDate;
}

const MS_PER_DAY = 86_400_000;

/** Whether the text is a day that exists. */
export function isLocalDate(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && fromNumber(toNumber(text)) === text;
}

/** Days since 1970-01-01. */
export function toNumber(day: LocalDate): number {
  return Math.round(Date.parse(`${day}T00:00:00Z`) / MS_PER_DAY);
}

export function fromNumber(number: number): LocalDate {
  return new Date(number * MS_PER_DAY).toISOString().slice(0, 10);
}

export function addDays(day: LocalDate, days: number): LocalDate {
  return fromNumber(toNumber(day) + days);
}

/** Number of days in an inclusive range. */
export function lengthInDays(range: Range): number {
  return toNumber(range.to) - toNumber(range.from) + 1;
}

/** The calendar day that `now` falls on in an IANA time zone. */
export function dayIn(timezone: string, now: Date): LocalDate {
  const format = new Intl.DateTimeFormat('en', { timeZone: timezone, calendar: 'gregory', year: 'numeric', month: '2-digit', day: '2-digit' });
  const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
  return `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`;
}

export function startOfUnit(day: LocalDate, unit: Unit): LocalDate {
  if (unit === 'day') return day;
  if (unit === 'month') return `${day.slice(0, 7)}-01`;
  const number = toNumber(day);
  return fromNumber(number - ((((number + 3) % 7) + 7) % 7));
}

/** First day of the unit that comes `count` units after the one starting at `start`. */
export function addUnits(start: LocalDate, unit: Unit, count: number): LocalDate {
  if (unit === 'day') return addDays(start, count);
  if (unit === 'week') return addDays(start, 7 * count);
  const months = Number(start.slice(0, 4)) * 12 + Number(start.slice(5, 7)) - 1 + count;
  const year = String(Math.floor(months / 12)).padStart(4, '0');
  return `${year}-${String((months % 12) + 1).padStart(2, '0')}-01`;
}

export function endOfUnit(day: LocalDate, unit: Unit): LocalDate {
  return addDays(addUnits(startOfUnit(day, unit), unit, 1), -1);
}

/** First days of all units that touch the range, oldest first. */
export function unitsIn(range: Range, unit: Unit): LocalDate[] {
  const starts: LocalDate[] = [];
  for (let start = startOfUnit(range.from, unit); start <= range.to; start = addUnits(start, unit, 1)) starts.push(start);
  return starts;
}

/** As many units as the range touches, directly before them; whole units. */
export function unitsBefore(range: Range, unit: Unit): Range {
  const first = startOfUnit(range.from, unit);
  const count = unitsIn(range, unit).length;
  return { from: addUnits(first, unit, -count), to: addDays(first, -1) };
}
