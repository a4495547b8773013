/**
 * The cache of llama.cpp, which has no metric of it: its use from `/slots`, its size from `/props`.
 * Pure; any thread. Both answers are long and change from version to version: what is not there is
 * not told.
 */

/**
 * Share of the context of all slots that is in use; `null`: not told. Of a slot at work that does
 * not say how far it is (older versions) all counts as used.
 */
export function kvUseOfSlots(body: string): number | null {
  const slots = jsonOf(body);
  if (!Array.isArray(slots)) return null;
  let context = 0;
  let used = 0;
  for (const slot of slots) {
    const size = countOf(slot, 'n_ctx');
    if (size === null) continue;
    context += size;
    if (fieldOf(slot, 'is_processing') === true) used += Math.min(size, tokensOf(slot) ?? size);
  }
  return context === 0 ? null : used / context;
}

/** Tokens that all slots hold together; `null`: not told. */
export function capacityOfProps(body: string): number | null {
  const props = jsonOf(body);
  const slots = countOf(props, 'total_slots');
  const context = countOf(fieldOf(props, 'default_generation_settings'), 'n_ctx');
  return slots === null || context === null || slots * context === 0 ? null : slots * context;
}

/** Prompt and output so far; `null`: not told. */
function tokensOf(slot: unknown): number | null {
  const prompt = countOf(slot, 'n_prompt_tokens');
  const next = fieldOf(slot, 'next_token');
  const decoded = countOf(Array.isArray(next) ? next[0] : next, 'n_decoded');
  return prompt === null ? null : prompt + (decoded ?? 0);
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Not JSON: whatever it is, it tells nothing of a cache.
    return null;
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function countOf(value: unknown, name: string): number | null {
  const count = fieldOf(value, name);
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : null;
}
