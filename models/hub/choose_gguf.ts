import {TransferError} from '../../base/errors.js';
import {namesOfParts} from '../../base/files/split_gguf.js';

/** Quantisations as the names of files and folders end with them. */
const label =
  /(?:^|[-._])((?:UD-)?(?:I?Q\d+(?:_[A-Z\d]+)*|TQ\d_\d|MXFP4(?:_[A-Z\d]+)*|NVFP4|BF16|FP?16|FP?32))$/i;

/** A GGUF model of a repository: its file, or the first part of a split one. */
interface Candidate {
  readonly path: string;
  /** The name without folders, number of the part and `.gguf`. */
  readonly stem: string;
  /** In upper case; undefined if nothing says it. */
  readonly quantization: string | undefined;
}

/**
 * The GGUF file of a quantisation, of any case: the one whose name ends with it (`model-Q4_K_M.gguf`), or whose folder is called so; else
 * one whose name has it as a word (`UD-Q4_K_M` for `Q4_K_M`, `model-Q4_K_M-00001.gguf`). Of a split file the first part.
 *
 * @param paths of all files of a repository. Projectors (mmproj) and importance matrices (imatrix) are not considered.
 * @param quantization undefined: the only model there is.
 * @param repository how errors call it.
 * @throws TransferError if none matches or several do, with what there is.
 */
export function chooseGguf(
  paths: readonly string[],
  quantization: string | undefined,
  repository: string,
): string {
  const all = candidatesOf(paths);
  const [only, ...others] = quantization === undefined ? all : matching(all, quantization);
  if (only !== undefined && others.length === 0) return only.path;
  if (only === undefined) {
    throw new TransferError(
      all.length === 0
        ? `There is no GGUF file in ${repository}.`
        : `${repository} has no GGUF file of ${quantization}. ${whatThereIs(all, repository)}`,
    );
  }
  throw new TransferError(
    quantization === undefined
      ? `${repository} holds ${all.length} GGUF models and no safetensors to choose by itself. ${whatThereIs(all, repository)}`
      : `Several GGUF files of ${repository} are ${quantization}. Name one: ${listed([only, ...others].map(({path}) => `${repository}:${path}`))}.`,
  );
}

/** The GGUF files that are exactly of a quantisation: what may be taken without asking which others there are. */
export function exactGguf(paths: readonly string[], quantization: string): string | undefined {
  const [only, ...others] = exact(candidatesOf(paths), quantization.toUpperCase());
  return others.length === 0 ? only?.path : undefined;
}

export const hasGguf = (paths: readonly string[]) => candidatesOf(paths).length > 0;

function candidatesOf(paths: readonly string[]): Candidate[] {
  return paths.flatMap(path => {
    const folders = path.split('/');
    const file = folders.pop()!;
    if (!/\.gguf$/i.test(file) || /mmproj|imatrix/i.test(file)) return [];
    const parts = namesOfParts(path);
    if (parts !== undefined && parts[0] !== path) return [];
    const stem = file.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, '');
    const said = [stem, ...folders.reverse()]
      .map(name => label.exec(name)?.[1])
      .find(one => one !== undefined);
    return [{path, stem, quantization: said?.toUpperCase()}];
  });
}

const exact = (all: readonly Candidate[], wanted: string) =>
  atTop(all.filter(({quantization}) => quantization === wanted));

function matching(all: readonly Candidate[], quantization: string): readonly Candidate[] {
  const found = exact(all, quantization.toUpperCase());
  if (found.length > 0) return found;
  const word = new RegExp(`(?:^|[-.])${quantization}(?:[-.]|$)`, 'i');
  return atTop(all.filter(({stem}) => word.test(stem)));
}

/** Those in the fewest folders: a model comes before its drafts and variants. */
function atTop(candidates: readonly Candidate[]): readonly Candidate[] {
  const depthOf = ({path}: Candidate) => path.split('/').length;
  const least = Math.min(...candidates.map(depthOf));
  return candidates.filter(candidate => depthOf(candidate) === least);
}

function whatThereIs(all: readonly Candidate[], repository: string): string {
  const names = [...new Set(all.map(({quantization, path}) => `${repository}:${quantization ?? path}`))];
  return `Name one: ${listed(names)}.`;
}

const listed = (names: readonly string[]) =>
  names.slice(0, 40).join(', ') + (names.length > 40 ? ` and ${names.length - 40} more` : '');
