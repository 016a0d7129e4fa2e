// The colours of the retention triangle. One hue whose lightness alone carries the value, so that it reads the
// same with any kind of colour blindness and in grey print; text on it always keeps a contrast of 4.5 or more.

export type Theme = 'light' | 'dark';

export interface CellColours {
  readonly background: string;
  readonly text: string;
}

interface Stop {
  readonly lightness: number;
  readonly chroma: number;
  readonly hue: number;
}

/** From nothing to the top of the scale; light pages darken, dark pages brighten. */
const STOPS: Readonly<Record<Theme, readonly [Stop, Stop, Stop]>> = {
  light: [
    { lightness: 0.97, chroma: 0.012, hue: 235 },
    { lightness: 0.74, chroma: 0.1, hue: 240 },
    { lightness: 0.33, chroma: 0.125, hue: 262 },
  ],
  dark: [
    { lightness: 0.24, chroma: 0.02, hue: 262 },
    { lightness: 0.5, chroma: 0.115, hue: 252 },
    { lightness: 0.89, chroma: 0.085, hue: 220 },
  ],
};

/** A position on the scale, 0 to 1. A power below one spreads the low rates, where most retention lives. */
export function position(rate: number, top: number): number {
  return Math.min(1, Math.max(0, rate / top)) ** 0.75;
}

export function cellColours(at: number, theme: Theme): CellColours {
  const [low, middle, high] = STOPS[theme];
  const stop = at < 0.5 ? between(low, middle, at * 2) : between(middle, high, at * 2 - 1);
  const rgb = toRgb(stop);
  const ink = (['#000000', '#ffffff'] as const).map((text) => ({ text, contrast: contrast(hexToRgb(text), rgb) }));
  const best = ink.reduce((a, b) => (a.contrast >= b.contrast ? a : b));
  return { background: rgbToHex(rgb), text: best.text };
}

function between(a: Stop, b: Stop, t: number): Stop {
  const mix = (x: number, y: number): number => x + (y - x) * t;
  return { lightness: mix(a.lightness, b.lightness), chroma: mix(a.chroma, b.chroma), hue: mix(a.hue, b.hue) };
}

type Rgb = readonly [number, number, number];

/** OKLCH to sRGB, clipped. Constants: https://bottosson.github.io/posts/oklab/ */
function toRgb({ lightness, chroma, hue }: Stop): Rgb {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encode(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function encode(linear: number): number {
  const clipped = Math.min(1, Math.max(0, linear));
  const value = clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055;
  return Math.round(value * 255);
}

/** WCAG contrast ratio of two colours. */
export function contrast(a: Rgb, b: Rgb): number {
  const [bright, dim] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (bright + 0.05) / (dim + 0.05);
}

function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function hexToRgb(hex: string): Rgb {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb;
}

function rgbToHex(rgb: Rgb): string {
  return `#${rgb.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}
