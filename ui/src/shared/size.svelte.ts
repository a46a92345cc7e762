/** The size of an element, settled: a drag of the window's edge causes one new chart, not sixty. */

/** Width and height in CSS pixels, as a Svelte attachment keeps them. */
export class Size {
  width = $state(0);
  height = $state(0);

  /** Use as `{@attach size.follow}`. */
  follow = (element: HTMLElement): (() => void) => {
    const read = (): void => {
      this.width = Math.round(element.clientWidth);
      this.height = Math.round(element.clientHeight);
    };
    read();
    if (typeof ResizeObserver === "undefined") return () => undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(read, 120);
    });
    observer.observe(element);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  };
}
