use smi_sweep::*;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let pool = pool::Pool::new(Some(a[2].parse().unwrap()));
    let w = watch::Unwatched;
    let t = std::time::Instant::now();
    let s = snapshot::Snapshot::open(&[a[1].clone().into()], &Default::default(), &pool, &w)
        .unwrap_or_else(|e| panic!("{e}"));
    println!("open {:?}", t.elapsed());
    let p = [policy::Policy::demo()];
    let o = sweep::Options {
        policies: &p,
        as_of: estate::time::parse("2026-11-01").unwrap(),
        expected: Default::default(),
        duplicates: &[],
        reader: if a.len() > 3 { sweep::Reader::Reference } else { sweep::Reader::Encoded },
    };
    let r = sweep::sweep(&s, &o, &pool, &w).unwrap_or_else(|e| panic!("{e}"));
    println!("sweep {:?} {:?}", t.elapsed(), r[0].findings.by_type.total());
}
