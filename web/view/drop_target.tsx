import type {ComponentChildren} from 'preact';
import {useState} from 'preact/hooks';

interface DropTargetProps {
  readonly onFile: (file: File) => void;
  readonly children: ComponentChildren;
}

/** The whole page takes a dropped file. */
export function DropTarget({onFile, children}: DropTargetProps) {
  const [isOver, setIsOver] = useState(false);
  const carriesFile = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
  return (
    <div
      class={isOver ? 'page dropping' : 'page'}
      onDragOver={event => {
        if (!carriesFile(event)) return;
        event.preventDefault(); // or the browser opens the file instead of the page
        setIsOver(true);
      }}
      onDragLeave={event => {
        if (event.relatedTarget === null) setIsOver(false);
      }}
      onDrop={event => {
        if (!carriesFile(event)) return;
        event.preventDefault();
        setIsOver(false);
        const file = event.dataTransfer?.files[0];
        if (file) onFile(file);
      }}
    >
      {children}
    </div>
  );
}
