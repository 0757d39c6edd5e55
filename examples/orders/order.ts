// Believable orders of a shop, the same ones for the same seed. A few customers order much, most order little: keys are
// skewed as real ones are.

export interface Order {
  /** Dense, from 1. */
  readonly order: number;
  /** The key: orders of one customer stay in order. */
  readonly customer: string;
  /** ISO 8601 in UTC; never goes back from one order to the next. */
  readonly placedAt: string;
  readonly channel: 'web' | 'app' | 'store' | 'phone';
  readonly currency: 'EUR' | 'GBP' | 'SEK';
  readonly items: readonly OrderItem[];
  /** Sum over the items, in cents. */
  readonly totalCents: number;
  readonly shipTo: { readonly city: string; readonly postcode: string; readonly country: string };
  /** What one customer in twelve has to say. */
  readonly note?: string;
}

export interface OrderItem {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly priceCents: number;
}

export interface OrderOptions {
  readonly orders: number;
  /** Any integer; the same one gives the same orders. */
  readonly seed: number;
}

const customerCount = 20_000;
/** A share drawn to this power is the customer's rank: 1 % of the customers place about a fifth of the orders. */
const customerSkew = 3;
/** 1 January 2026, 06:00 UTC: the first order is placed soon after. */
const openingMs = Date.UTC(2026, 0, 1, 6);
const meanGapMs = 20_000;
/** Most orders have one item or two. */
const itemsMax = 6;

const channels = ['web', 'app', 'app', 'web', 'store', 'phone'] as const;
const materials = ['oak', 'linen', 'copper', 'wool', 'enamel', 'walnut', 'cotton', 'glass', 'cork'];
const colours = ['grey', 'blue', 'natural', 'red', 'forest green', 'black', 'white', 'ochre'];
const things = ['chair', 'lamp', 'bowl', 'kettle', 'blanket', 'shelf', 'mug', 'tray', 'stool'];
const places = [
  { city: 'Köln', country: 'DE', currency: 'EUR' },
  { city: 'Paris', country: 'FR', currency: 'EUR' },
  { city: 'Kraków', country: 'PL', currency: 'EUR' },
  { city: 'Lisboa', country: 'PT', currency: 'EUR' },
  { city: 'Malmö', country: 'SE', currency: 'SEK' },
  { city: 'Leeds', country: 'GB', currency: 'GBP' },
  { city: 'Αθήνα', country: 'GR', currency: 'EUR' },
  { city: 'Dublin', country: 'IE', currency: 'EUR' },
] as const;
const notes = [
  'Please leave it with the neighbours.',
  'Ring twice; the bell is quiet.',
  'It is a present: no invoice in the parcel, please. 🎁',
  'Größe wie beim letzten Mal.',
  'Deliver after 5 p.m., "back door", second floor.',
];

export function* generateOrders({ orders, seed }: OrderOptions): Generator<Order, void> {
  const chance = new Chance(seed);
  let placedMs = openingMs;
  for (let order = 1; order <= orders; order++) {
    placedMs += Math.round(-Math.log(1 - chance.share()) * meanGapMs);
    yield generateOrder(order, placedMs, chance);
  }
}

function generateOrder(order: number, placedMs: number, chance: Chance): Order {
  const rank = Math.floor(chance.share() ** customerSkew * customerCount);
  // Where a customer lives does not change from order to order.
  const place = chosen(places, rank);
  const itemCount = 1 + Math.floor(chance.share() ** 2 * itemsMax);
  const items = Array.from({ length: itemCount }, () => generateItem(chance));
  return {
    order,
    customer: `customer-${String(rank).padStart(5, '0')}`,
    placedAt: new Date(placedMs).toISOString(),
    channel: chance.oneOf(channels),
    currency: place.currency,
    items,
    totalCents: items.reduce((sum, { quantity, priceCents }) => sum + quantity * priceCents, 0),
    shipTo: {
      city: place.city,
      postcode: String(10_000 + ((rank * 7_919) % 90_000)),
      country: place.country,
    },
    ...(chance.below(12) === 0 && { note: chance.oneOf(notes) }),
  };
}

function generateItem(chance: Chance): OrderItem {
  const thing = chance.below(things.length);
  const material = chance.below(materials.length);
  return {
    sku: `${chosen(things, thing).slice(0, 3).toUpperCase()}-${1000 + thing * 100 + material}`,
    name: `${chosen(materials, material)} ${chosen(things, thing)}, ${chance.oneOf(colours)}`,
    quantity: 1 + (chance.below(5) === 0 ? chance.below(4) : 0),
    // A thing costs the same in every order.
    priceCents: 495 + ((thing * 9 + material) % 83) * 250,
  };
}

/** Reproducible chance (mulberry32, public domain, Tommy Ettinger). */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  share(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.share() * end);
  }

  oneOf<T>(choices: readonly T[]): T {
    return chosen(choices, this.below(choices.length));
  }
}

/** Wraps around, so that any index chooses. */
function chosen<T>(choices: readonly T[], index: number): T {
  const choice = choices[index % choices.length];
  if (choice === undefined) throw new Error('there is nothing to choose from');
  return choice;
}
