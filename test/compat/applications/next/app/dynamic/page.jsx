import { cookies, headers } from 'next/headers';
import { Suspense } from 'react';

async function Late() {
  await new Promise((resolve) => setTimeout(resolve, 50));
  return <p>later</p>;
}

// Made for each request, and streamed.
export default async function Page({ searchParams }) {
  const facts = {
    host: (await headers()).get('host'),
    args: await searchParams,
    cookies: (await cookies()).getAll(),
  };
  return (
    <>
      <p>{JSON.stringify(facts)}</p>
      <Suspense fallback={<p>wait</p>}>
        <Late />
      </Suspense>
    </>
  );
}
