import {readFile} from 'node:fs/promises';
import {join, relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../../', import.meta.url));
const built = join(root, 'dist/');

/** The doors of the package and the sources behind them: `./dist/src/index.d.ts` is made of `src/index.ts`. */
export async function doorsOfPackage(): Promise<ReadonlyMap<string, string>> {
  const {exports} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Readonly<Record<string, string | {readonly types: string}>>;
  };
  return new Map(
    Object.entries(exports).flatMap(([door, entry]) =>
      typeof entry === 'string'
        ? []
        : [[`eigenkv${door.slice(1)}`, entry.types.replace(/^\.\/dist\/(.*)\.d\.ts$/, '$1.ts')]],
    ),
  );
}

/** What the declarations of a name mention. */
export interface Mention {
  /** The exported name, and the names that lead from it to what is mentioned. */
  readonly path: readonly string[];
  readonly symbol: ts.Symbol;
  /** Where it is declared, relative to the package; `valibot` for names of that package. */
  readonly from: string;
  readonly isType: boolean;
}

/** The declarations that `npm run build` writes, in memory, and what they mention. */
export class PublicDeclarations {
  private constructor(private readonly program: ts.Program) {}

  static compile(sources: readonly string[]): PublicDeclarations {
    const read = ts.readConfigFile(join(root, 'tsconfig.build.json'), name => ts.sys.readFile(name));
    const {options} = ts.parseJsonConfigFileContent(read.config, {...ts.sys, readDirectory: () => []}, root);
    const texts = new Map<string, string>();
    ts.createProgram(
      sources.map(source => join(root, source)),
      {...options, emitDeclarationOnly: true},
    ).emit(undefined, (name, text) => texts.set(name, text), undefined, true);

    const host = ts.createCompilerHost(options);
    const beneath = {readFile: host.readFile, fileExists: host.fileExists, getSourceFile: host.getSourceFile};
    host.readFile = name => texts.get(name) ?? beneath.readFile(name);
    host.fileExists = name => (name.startsWith(built) ? texts.has(name) : beneath.fileExists(name));
    host.directoryExists = undefined; // folders of files that are in memory only
    host.getSourceFile = (name, ...rest) => {
      const text = texts.get(name);
      return text === undefined
        ? beneath.getSourceFile(name, ...rest)
        : ts.createSourceFile(name, text, rest[0], true);
    };
    return new PublicDeclarations(
      ts.createProgram(sources.map(declarationOf), {...options, noEmit: true}, host),
    );
  }

  /** What a door exports, by name; the members of a namespace too, as `codecs.integer`. */
  exportsOf(source: string): ReadonlyMap<string, ts.Symbol> {
    const checker = this.program.getTypeChecker();
    const file = this.program.getSourceFile(declarationOf(source));
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${source} has no declarations.`);
    const names = new Map<string, ts.Symbol>();
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = this.resolved(exported);
      names.set(exported.name, symbol);
      if (!(symbol.flags & ts.SymbolFlags.ValueModule)) continue;
      for (const inner of checker.getExportsOfModule(symbol))
        names.set(`${exported.name}.${inner.name}`, this.resolved(inner));
    }
    return names;
  }

  /** Those of a door that are there at run time. */
  valuesOf(source: string): ReadonlyMap<string, ts.Symbol> {
    const file = this.program.getSourceFile(declarationOf(source));
    const isTypeOnly = (name: string) =>
      file?.statements.some(
        statement =>
          ts.isExportDeclaration(statement) &&
          statement.exportClause !== undefined &&
          ts.isNamedExports(statement.exportClause) &&
          statement.exportClause.elements.some(
            ({name: exported, isTypeOnly}) => exported.text === name && (isTypeOnly || statement.isTypeOnly),
          ),
      );
    return new Map(
      [...this.exportsOf(source)].filter(
        ([name, {flags}]) => flags & ts.SymbolFlags.Value && !name.includes('.') && !isTypeOnly(name),
      ),
    );
  }

  /**
   * All names of ours and of valibot that declarations mention, each once, by a shortest path.
   *
   * @param followsValues whether `typeof value` leads on to what the declaration of the value mentions.
   */
  mentionsOf(exported: ReadonlyMap<string, ts.Symbol>, {followsValues = true} = {}): Mention[] {
    const seen = new Set(exported.values());
    const mentions: Mention[] = [];
    let waiting = [...exported].map(([name, symbol]) => ({path: [name], symbol}));
    while (waiting.length > 0) {
      const found = waiting.flatMap(({path, symbol}) =>
        this.mentionedBy(symbol)
          .filter(mentioned => !seen.has(mentioned) && seen.add(mentioned))
          .map(mentioned => ({path: [...path, mentioned.name], symbol: mentioned})),
      );
      mentions.push(
        ...found.map(each => ({
          ...each,
          from: placeOf(each.symbol) ?? '',
          isType: !!(each.symbol.flags & ts.SymbolFlags.Type),
        })),
      );
      waiting = found.filter(
        ({symbol}) =>
          placeOf(symbol) !== 'valibot' && (followsValues || !!(symbol.flags & ts.SymbolFlags.Type)),
      );
    }
    return mentions;
  }

  private mentionedBy(symbol: ts.Symbol): ts.Symbol[] {
    const checker = this.program.getTypeChecker();
    const mentioned: ts.Symbol[] = [];
    const visit = (node: ts.Node): void => {
      const at = ts.isIdentifier(node) ? checker.getSymbolAtLocation(node) : undefined;
      const target = at && this.resolved(at);
      if (target !== undefined && isNamed(target) && placeOf(target) !== undefined) mentioned.push(target);
      ts.forEachChild(node, visit);
    };
    for (const declaration of symbol.declarations ?? []) {
      if (!ts.isSourceFile(declaration)) visit(declaration);
    }
    return mentioned;
  }

  private resolved(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias
      ? this.program.getTypeChecker().getAliasedSymbol(symbol)
      : symbol;
  }
}

const declarationOf = (source: string) => join(built, source.replace(/\.ts$/, '.d.ts'));

/** Not a member, a parameter, or a parameter of a type. */
const isNamed = ({flags}: ts.Symbol) =>
  !!(
    flags &
    (ts.SymbolFlags.Class |
      ts.SymbolFlags.Interface |
      ts.SymbolFlags.TypeAlias |
      ts.SymbolFlags.Enum |
      ts.SymbolFlags.Function |
      ts.SymbolFlags.BlockScopedVariable)
  );

/** Undefined for names of other packages and of JavaScript. */
function placeOf({declarations = []}: ts.Symbol): string | undefined {
  const [file] = declarations.map(declaration => declaration.getSourceFile().fileName);
  if (file === undefined) return undefined;
  if (file.startsWith(built)) return relative(built, file);
  return file.includes('/node_modules/valibot/') ? 'valibot' : undefined;
}
