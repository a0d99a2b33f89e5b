/** Safari's kind of media source: TypeScript's library doesn't know it. */
declare var ManagedMediaSource: typeof MediaSource | undefined;
