import { InterruptedError } from '../core/errors.ts';

/** Asks yes or no on the terminal. Only for when questions may be asked. */
export async function askYesNo(message: string): Promise<boolean> {
  return ask<boolean>({ type: 'confirm', message, default: false });
}

/** Asks for a text on the terminal. */
export async function askText(message: string): Promise<string> {
  return ask<string>({ type: 'input', message });
}

type Question = { type: 'confirm'; message: string; default: boolean } | { type: 'input'; message: string };

async function ask<T>(question: Question): Promise<T> {
  const { createPromptModule } = (await import('inquirer')).default;
  // Standard output belongs to data: the question is put on standard error.
  const prompt = createPromptModule({ output: process.stderr });
  try {
    const { answer } = (await prompt([{ ...question, name: 'answer' }])) as { answer: T };
    return answer;
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') throw new InterruptedError('SIGINT');
    throw error;
  }
}
