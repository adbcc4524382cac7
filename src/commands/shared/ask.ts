import { InterruptedError } from '../../core/errors.ts';

/** Asks yes or no on the terminal, until the signal takes the question back. Only for when questions may be asked. */
export async function askYesNo(message: string, signal: AbortSignal): Promise<boolean> {
  return ask<boolean>({ type: 'confirm', message, default: false }, signal);
}

/** Asks for a text on the terminal. */
export async function askText(message: string): Promise<string> {
  return ask<string>({ type: 'input', message });
}

type Question = { type: 'confirm'; message: string; default: boolean } | { type: 'input'; message: string };

async function ask<T>(question: Question, signal?: AbortSignal): Promise<T> {
  const { createPromptModule } = (await import('inquirer')).default;
  // Standard output belongs to data: the question is put on standard error.
  const prompt = createPromptModule({ output: process.stderr, ...(signal && { signal }) });
  try {
    const { answer } = (await prompt([{ ...question, name: 'answer' }])) as { answer: T };
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Error && error.name === 'ExitPromptError') throw new InterruptedError('SIGINT');
    throw error;
  }
}
