/** To the clipboard, and where that is refused into a field to copy from by hand. */

/** Whether the clipboard took it. */
export async function copy(text: string, manual: HTMLElement, field: HTMLTextAreaElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    manual.hidden = true;
    return true;
  } catch {
    field.value = text;
    manual.hidden = false;
    field.focus();
    field.select();
    return false;
  }
}
