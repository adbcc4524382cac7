/** What a masked value looks like, where the type leaves a choice. */
export type MaskKind = 'email' | 'phone' | 'plain';

const EMAIL = 'email mail mails emails';
const PHONE = 'phone phones telephone tel mobile cell cellphone fax msisdn';

/** Any of these among a column's words. */
const WORDS = new Set(
  `${EMAIL} ${PHONE}
  surname firstname lastname fullname forename middlename nickname username displayname login initials signature
  address addresses addr street zip zipcode postcode postal city
  birth birthday birthdate birthplace dob
  ssn sin nin taxid passport iban bic card pan cvv cvc
  ip ips useragent
  password passwd pwd passphrase hash salt secret token apikey otp pin
  note notes comment comments remark remarks message messages memo body bio feedback
  avatar photo`.split(/\s+/),
);

/** One right after the other. */
const PHRASES = [
  'e mail',
  ...'first last full given family middle maiden birth legal display nick user login contact customer client employee person patient member recipient sender author owner holder payee beneficiary billing shipping'
    .split(' ')
    .map((word) => `${word} name`),
  'tax id',
  'tax number',
  'tax no',
  'vat id',
  'vat number',
  'national id',
  'social security',
  'driver license',
  'drivers license',
  'account number',
  'account no',
  'user agent',
  'api key',
  'private key',
  'free text',
];

/** A column whose last word is one of these tells something about a thing, and is not the thing: `email_verified`, `message_id`. */
const TAILS = new Set(
  'id ids count type kind status state at verified confirmed enabled required sent length size version rate amount fee price total order position format language'.split(
    ' ',
  ),
);

/** Tables in which a bare `name` is the name of somebody. */
const PEOPLE = new Set(
  'user customer client person people employee contact member patient account profile subscriber student teacher tenant guest lead applicant candidate author owner driver staff recipient participant attendee resident citizen donor volunteer beneficiary'.split(
    ' ',
  ),
);

/** `customerEMail_2` has the words customer, e and mail; digits and signs only part them. */
export const wordsOf = (name: string): string[] =>
  name
    .replaceAll(/(\p{Ll}|\d)(\p{Lu})/gu, '$1 $2')
    .replaceAll(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}]+/u)
    .filter((word) => word !== '');

const has = (list: string, words: readonly string[]): boolean =>
  words.some((word) => list.split(' ').includes(word));

const singular = (word: string): string => word.replace(/s$/, '');

/**
 * What a column holds, by its name and its table's: undefined where nothing looks like personal data. It errs on the side
 * of masking.
 */
export function looksPersonal(table: string, column: string): MaskKind | undefined {
  const words = wordsOf(column);
  const phrase = ` ${words.join(' ')} `;
  const found = PHRASES.some((each) => phrase.includes(` ${each} `));
  const ends = PHRASES.some((each) => phrase.endsWith(` ${each} `));
  if (TAILS.has(words.at(-1) ?? '') && !ends) return undefined;
  const bare = words.length === 1 && words[0] === 'name';
  const personal = bare && wordsOf(table).some((word) => PEOPLE.has(word) || PEOPLE.has(singular(word)));
  if (found || personal || words.some((word) => WORDS.has(word))) return kindOf(column);
  return undefined;
}

/** The shape that a mask of such a column should have. */
export function kindOf(column: string): MaskKind {
  const words = wordsOf(column);
  if (has(EMAIL, words) || ` ${words.join(' ')} `.includes(' e mail ')) {
    // An address of the post is none of e-mail.
    return words.includes('postal') ? 'plain' : 'email';
  }
  return has(PHONE, words) ? 'phone' : 'plain';
}
