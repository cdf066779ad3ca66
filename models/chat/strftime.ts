const two = (number: number) => String(number).padStart(2, '0');
const named = (part: 'month' | 'weekday', style: 'long' | 'short') => {
  const format = new Intl.DateTimeFormat('en-US', {[part]: style});
  return (date: Date) => format.format(date);
};

/** Python's directives that templates of models use, in its locale "C". */
const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: date => String(date.getFullYear()),
  y: date => two(date.getFullYear() % 100),
  m: date => two(date.getMonth() + 1),
  d: date => two(date.getDate()),
  H: date => two(date.getHours()),
  I: date => two(date.getHours() % 12 || 12),
  M: date => two(date.getMinutes()),
  S: date => two(date.getSeconds()),
  p: date => (date.getHours() < 12 ? 'AM' : 'PM'),
  B: named('month', 'long'),
  b: named('month', 'short'),
  A: named('weekday', 'long'),
  a: named('weekday', 'short'),
  '%': () => '%',
};

/** A date as Python's `datetime.strftime` writes it. Directives that are not known stay as they are. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(.)/g, (whole, name: string) => directives[name]?.(date) ?? whole);
}
