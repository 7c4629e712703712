/** Tabs by the usual pattern: one of them is in the order of the Tab key, arrows go from one to the next. */

export function startTabs(list: HTMLElement, shown: (panel: string) => void): void {
  const tabs = [...list.querySelectorAll<HTMLElement>('[role=tab]')];
  const show = (chosen: HTMLElement): void => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.ariaSelected = String(isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute('aria-controls') ?? '');
      if (panel) panel.hidden = !isChosen;
    }
    shown(chosen.id.replace('tab-', ''));
  };
  list.addEventListener('click', ({ target }) => {
    const tab = tabs.find((one) => one === target);
    if (tab) show(tab);
  });
  list.addEventListener('keydown', (event) => {
    const at = tabs.findIndex((tab) => tab === document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    const tab = next === undefined ? undefined : tabs[(next + tabs.length) % tabs.length];
    if (at < 0 || !tab) return;
    event.preventDefault();
    tab.focus();
    show(tab);
  });
}
