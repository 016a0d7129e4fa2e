// Numbers and days in the reader's own locale. Days are shown as they are, never shifted by the browser's time zone.

import { addDays, type LocalDate, type Unit } from './days';

/** Formats of one time zone; made once, because making them is slow. */
interface Zoned {
  readonly timeZone: string;
  readonly time: Intl.DateTimeFormat;
  readonly day: Intl.DateTimeFormat;
  readonly year: Intl.DateTimeFormat;
  readonly both: Intl.DateTimeFormat;
  readonly dated: Intl.DateTimeFormat;
}

export class Formatter {
  private readonly whole: Intl.NumberFormat;
  private readonly compactNumber: Intl.NumberFormat;
  private readonly percentWhole: Intl.NumberFormat;
  private readonly percentTenth: Intl.NumberFormat;
  private readonly signedPercent: Intl.NumberFormat;
  private readonly percentUpTo: Intl.NumberFormat;
  private readonly decimal: Intl.NumberFormat;
  private readonly dayShort: Intl.DateTimeFormat;
  private readonly dayLong: Intl.DateTimeFormat;
  private readonly dayYear: Intl.DateTimeFormat;
  private readonly monthShort: Intl.DateTimeFormat;
  private readonly clock: Intl.DateTimeFormat;
  private zone: Zoned | null = null;

  constructor(readonly locale: string | undefined) {
    this.whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
    this.compactNumber = new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 });
    this.percentWhole = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
    this.percentTenth = new Intl.NumberFormat(locale, { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
    this.signedPercent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1, signDisplay: 'exceptZero' });
    this.percentUpTo = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 });
    this.decimal = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
    this.dayShort = new Intl.DateTimeFormat(locale, { timeZone: 'UTC', day: 'numeric', month: 'short' });
    this.dayLong = new Intl.DateTimeFormat(locale, { timeZone: 'UTC', weekday: 'short', day: 'numeric', month: 'short' });
    this.dayYear = new Intl.DateTimeFormat(locale, { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric' });
    this.monthShort = new Intl.DateTimeFormat(locale, { timeZone: 'UTC', month: 'short', year: 'numeric' });
    this.clock = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });
  }

  count(value: number): string {
    return this.whole.format(value);
  }

  compact(value: number): string {
    return value < 10_000 ? this.whole.format(value) : this.compactNumber.format(value);
  }

  /** One decimal below 10 %, none above: enough to read, no false precision. */
  rate(value: number | null): string {
    if (value === null) return '–';
    return value > 0 && value < 0.0995 ? this.percentTenth.format(value) : this.percentWhole.format(value);
  }

  exactRate(value: number | null): string {
    return value === null ? '–' : this.percentTenth.format(value);
  }

  change(ratio: number): string {
    return this.signedPercent.format(ratio);
  }

  /** How large a change is, whichever way it goes. */
  size(ratio: number): string {
    return this.percentUpTo.format(Math.abs(ratio));
  }

  ratio(value: number): string {
    return this.decimal.format(value);
  }

  day(day: LocalDate): string {
    return this.dayShort.format(instant(day));
  }

  weekday(day: LocalDate): string {
    return this.dayLong.format(instant(day));
  }

  fullDay(day: LocalDate): string {
    return this.dayYear.format(instant(day));
  }

  range(from: LocalDate, to: LocalDate): string {
    return this.dayYear.formatRange(instant(from), instant(to));
  }

  /** A period as a reader names it: a day, "Week of 3 Nov", "Nov 2026". */
  period(start: LocalDate, unit: Unit): string {
    if (unit === 'day') return this.weekday(start);
    if (unit === 'month') return this.monthShort.format(instant(start));
    const end = addDays(start, 6);
    const isTurnOfYear = start.slice(0, 4) !== end.slice(0, 4);
    return isTurnOfYear ? `${this.day(start)} – ${this.day(end)}` : this.dayShort.formatRange(instant(start), instant(end));
  }

  periodShort(start: LocalDate, unit: Unit): string {
    return unit === 'month' ? this.monthShort.format(instant(start)) : this.day(start);
  }

  time(moment: Date): string {
    return this.clock.format(moment);
  }

  /** The time of day of an event, to the second, in the reporting time zone. */
  timeIn(moment: Date, timezone: string): string {
    return this.zoned(timezone).time.format(moment);
  }

  /** The day of an event in the reporting time zone. */
  dayOf(moment: Date, timezone: string): string {
    return this.zoned(timezone).day.format(moment);
  }

  /** Day and time of an event in the reporting time zone; with its year unless it is the present one. */
  moment(moment: Date, timezone: string, now: Date = new Date()): string {
    const { year, both, dated } = this.zoned(timezone);
    return (year.format(moment) === year.format(now) ? both : dated).format(moment);
  }

  private zoned(timeZone: string): Zoned {
    if (this.zone?.timeZone !== timeZone) {
      const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
      this.zone = {
        timeZone,
        time: new Intl.DateTimeFormat(this.locale, { timeZone, ...clock }),
        day: new Intl.DateTimeFormat(this.locale, { timeZone, day: 'numeric', month: 'short', year: 'numeric' }),
        year: new Intl.DateTimeFormat(this.locale, { timeZone, year: 'numeric' }),
        both: new Intl.DateTimeFormat(this.locale, { timeZone, day: 'numeric', month: 'short', ...clock }),
        dated: new Intl.DateTimeFormat(this.locale, { timeZone, day: 'numeric', month: 'short', year: 'numeric', ...clock }),
      };
    }
    return this.zone;
  }
}

function instant(day: LocalDate): Date {
  return new Date(`${day}T00:00:00Z`);
}

/** The first language of the reader that is a locale; browsers in bare environments name some that are not. */
export function readersLocale(languages: readonly string[]): string | undefined {
  return languages.find((language) => {
    try {
      return Intl.getCanonicalLocales(language).length > 0;
    } catch {
      return false;
    }
  });
}

/** How far a zone's local time is from UTC at a moment, as "UTC+02:00". */
export function utcOffset(timezone: string, moment: Date): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' }).formatToParts(moment);
  const name = parts.find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
  return name.replace('GMT', 'UTC');
}
