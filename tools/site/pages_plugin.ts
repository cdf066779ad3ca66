import {relative} from 'node:path';
import {type Application, Converter, type DocumentReflection, JSX, ReflectionKind} from 'typedoc';
import {root} from '../markdown_pages.js';
import {doors, sitePages} from './options.js';

/** The heading in the navigation of each page. */
const groups = new Map(
  Object.entries(sitePages).flatMap(([group, files]) => files.map(file => [file, group])),
);

/**
 * A plugin of TypeDoc: gives pages their titles, groups and charts, modules the names that people import, and the sidebar a
 * link to the playground.
 *
 * @param charts HTML by the name of the table that it stands above.
 */
export const pagesPlugin = (charts: ReadonlyMap<string, string>) => async (app: Application) => {
  const names = new Map(Object.entries(await doors()).map(([name, file]) => [file, name]));
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, page) => {
    const file = relative(root, app.files.getReflectionPath(page) ?? '');
    page.frontmatter['group'] = groups.get(file) ?? 'Project';
    page.name = titleOf(page);
    for (const part of page.content) {
      part.text = part.text
        .replaceAll(/(?<=\d) %/g, '\u00a0%')
        .replaceAll(
          /<!-- table (\w+) -->\n/g,
          (marker, table: string) => `${charts.get(table) ?? marker.trimEnd()}\n\n`,
        );
    }
  });
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({project}) => {
    const front = project.readme?.[0]; // TypeDoc writes the name above it
    if (front !== undefined) front.text = front.text.replace(/^# .+\n/, '');
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      module.name = names.get(`${module.name}.ts`) ?? names.get(`${module.name}/index.ts`) ?? module.name;
    }
  });
  app.renderer.hooks.on('sidebar.begin', ({relativeURL}) =>
    JSX.createElement(
      'a',
      {class: 'playground-link', href: relativeURL('playground/index.html')},
      'Playground',
    ),
  );
};

/** The first line of a page, without its mark-up. TypeDoc has code in it as a part of its own. */
function titleOf({name, content}: DocumentReflection): string {
  const [line = ''] = content
    .map(({text}) => text)
    .join('')
    .split('\n');
  return line.startsWith('# ') ? line.slice(2).replaceAll('`', '') : name;
}
