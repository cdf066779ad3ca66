import type {TaskSetting} from '../task.js';

/** People to ask about: each is one word, and none begins another. */
export const names: readonly string[] = (
  'Amber Arthur Bella Bruno Carla Cedric Clara Conrad Daisy Daniel Diana Edgar Edith Elena Ernest Fiona Flora Frank Gavin Grace Gustav ' +
  'Hannah Harold Helen Hugo Irene Isaac Ivan Jasper Julia Kevin Laura Leo Linda Lucas Mabel Martin Monica Nadia Nathan Nora Oliver Oscar ' +
  'Paula Peter Quentin Rachel Ralph Rosa Rupert Sandra Simon Sofia Stella Thomas Tina Ursula Victor Vera Walter Wanda Xavier Yvonne Zoe'
).split(' ');

const words: readonly string[] = (
  'tiger bridge apple silver garden window river castle orange hammer pepper lemon rabbit forest mirror candle button ladder basket ocean ' +
  'copper valley violin pencil coffee desert monkey anchor island planet winter summer thunder blanket cotton feather dragon turtle marble ' +
  'carpet diamond engine falcon ginger helmet insect jacket kitchen magnet needle onion pillow rocket saddle temple umbrella velvet wagon ' +
  'butter camera doctor eagle flower guitar honey ivory jungle letter museum nickel oyster parrot quartz ribbon salmon tunnel'
).split(' ');

/** Words that a choice is made from; fewer would make guesses of a list of eight too alike. */
const fewestWords = 40;

/** Words to remember: those that the tokenizer writes as one token, or the shortest if it has few of these. */
export function wordsFor(tokenizer: TaskSetting['tokenizer']): string[] {
  const counted = words.map(word => ({word, tokens: tokensIn(tokenizer, ` ${word}`)}));
  const sorted = counted.toSorted((a, b) => a.tokens - b.tokens);
  const single = sorted.filter(({tokens}) => tokens === 1).length;
  return sorted.slice(0, Math.max(single, fewestWords)).map(({word}) => word);
}

/** The number of tokens of a text, as part of a longer one. */
export function tokensIn(tokenizer: TaskSetting['tokenizer'], text: string): number {
  return tokenizer.encode(text, {addSpecial: false, parseSpecial: false}).length;
}

/** Returns the entries of a list in random order. */
export function shuffled<T>(list: readonly T[], random: () => number): T[] {
  return list
    .map(item => ({item, at: random()}))
    .sort((a, b) => a.at - b.at)
    .map(({item}) => item);
}

/** Returns one entry of a list. */
export function drawn<T>(list: readonly T[], random: () => number): T {
  return list[Math.floor(random() * list.length)]!;
}
