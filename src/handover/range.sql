-- Loads one range of the manifest. Names between two @ are filled in when the script is written, those between two pairs of @
-- when it runs.
DO $sweep$
DECLARE
  run constant text := @run@;
  tables constant text := quote_ident(current_setting('smi_sweep.schema'));
  device constant regclass := (tables || '.device')::regclass;
  archive constant regclass := (tables || '.device_removed')::regclass;
  entry record;
  later timestamptz;
  wanted jsonb;
  kept_columns jsonb;
  names record;
  key record;
  texts text[] := ARRAY[$delete$@delete@$delete$, $respell$@respell@$respell$, $keep$@keep@$keep$, $written$@written@$written$];
  left_ranges bigint[] := ARRAY[@first@, @end@];
  lo bigint;
  hi bigint;
  more bigint;
  deleted bigint;
  alerts bigint;
  more_alerts bigint;
  found bigint[];
  state text;
  message text;
  context text;
BEGIN
  EXECUTE format('SELECT * FROM %s.sweep_load WHERE run_id = $1 FOR UPDATE', tables) INTO entry USING run;
  IF entry.load_id IS NULL OR entry.state NOT IN ('staged', 'loading') OR entry.done < @first@ OR entry.done >= @end@ THEN
    RETURN;
  END IF;

  -- One load at a time: the keys are those of `smi-sweep load`.
  IF NOT pg_try_advisory_xact_lock(1397573971, device::oid::bigint::integer) THEN
    RAISE EXCEPTION 'another load of table % is running', device;
  END IF;
  IF entry.inventory <> (SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                         WHERE c.oid = device) THEN
    RAISE EXCEPTION 'the load of run % is of table %, and this is %', run, entry.inventory, device;
  END IF;
  EXECUTE format('SELECT max(as_of) FROM %s.sweep_load WHERE inventory = $1 AND state <> ''staged'' AND run_id <> $2', tables)
    INTO later USING entry.inventory, run;
  IF later > entry.as_of THEN
    RAISE EXCEPTION 'run % is superseded: a later run, as of %, has been loaded already', run, later;
  ELSIF entry.as_of > clock_timestamp() THEN
    RAISE EXCEPTION 'run % is as of %, which is in the future', run, entry.as_of;
  ELSIF clock_timestamp() - entry.as_of > current_setting('smi_sweep.max_age_days')::integer * interval '1 day' THEN
    RAISE EXCEPTION 'run % is as of %: more than % days ago', run, entry.as_of, current_setting('smi_sweep.max_age_days')
      USING HINT = 'sweep a fresh snapshot; psql -v max_age_days=N allows more';
  END IF;
  IF (SELECT count(*) FROM pg_temp.sweep_planned) <> @end@ - @first@ THEN
    RAISE EXCEPTION 'rows of this script are missing';
  END IF;

  -- The archive holds the whole row.
  EXECUTE format('LOCK TABLE %s, %s IN ROW EXCLUSIVE MODE', device, archive);
  EXECUTE replace($columns$SELECT @columns_of_device@, @columns_of_archive@$columns$, '@@schema@@', tables)
    INTO wanted, kept_columns;
  IF wanted ?| ARRAY['load_id', 'load_ord', 'removed_at', 'restored_at'] THEN
    RAISE EXCEPTION 'table % has a column with the name of one of the archive', device
      USING HINT = 'rename the column of the inventory';
  ELSIF NOT kept_columns @> wanted THEN
    RAISE EXCEPTION 'column % of table % has not the same type in %, or is missing there',
      (SELECT w.key FROM jsonb_each(wanted) AS w WHERE kept_columns -> w.key IS DISTINCT FROM w.value LIMIT 1), device, archive
      USING HINT = 'run `smi-sweep load --init`';
  ELSIF entry.columns IS NOT NULL AND entry.columns <> wanted THEN
    RAISE EXCEPTION 'the columns of table % have changed since this load began', device;
  ELSIF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = device AND NOT c.relispartition) THEN
    RAISE EXCEPTION 'a table inherits from table %: the archive cannot keep its rows', device;
  ELSIF EXISTS (SELECT FROM pg_constraint AS c WHERE c.contype = 'f' AND c.confdeltype IN ('c', 'n', 'd')
                AND c.conrelid = device AND c.confrelid = device) THEN
    RAISE EXCEPTION 'a foreign key of table % refers to the table itself: a deletion deletes or changes others', device;
  ELSIF EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = archive AND NOT t.tgisinternal AND t.tgtype & 7 = 7) THEN
    RAISE EXCEPTION 'a trigger of % can change what is archived', archive;
  END IF;
  EXECUTE format('UPDATE %s.sweep_load SET state = ''loading'', columns = $2 WHERE run_id = $1', tables) USING run, wanted;

  -- The statements, with the names of this database.
  SELECT string_agg('c' || place, ', ' ORDER BY place) AS aliases, string_agg('d.' || name, ', ' ORDER BY place) AS fields,
      string_agg(name, ', ' ORDER BY place) AS columns, bool_or(name = quote_ident(@role_column@)) AS has_role
    INTO names
    FROM (SELECT quote_ident(a.attname) AS name, row_number() OVER (ORDER BY a.attnum) AS place FROM pg_attribute AS a
          WHERE a.attrelid = device AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS n;
  EXECUTE $key$@key@$key$ INTO key USING device::oid, @id_column@;
  IF key.equals IS NULL THEN
    RAISE EXCEPTION 'table % has no unique index on its Device ID alone', device;
  END IF;
  FOR place IN 1 .. array_length(texts, 1) LOOP
    texts[place] := replace(replace(replace(replace(texts[place], '@@schema@@', tables),
      '@@aliases@@', names.aliases), '@@fields@@', names.fields), '@@columns@@', names.columns);
    texts[place] := replace(replace(replace(texts[place], '@@equals@@', key.equals), '@@key_type@@', key.key_type),
      '@@role@@', CASE WHEN names.has_role THEN 'd.' || quote_ident(@role_column@) || '::text'
                  ELSE 'CASE WHEN s.alert THEN ''ServiceUser'' ELSE ''CSP'' END' END);
  END LOOP;

  -- What an earlier attempt has tried is left out. A range that the database refuses is halved until the row is alone.
  left_ranges[1] := entry.done;
  WHILE array_length(left_ranges, 1) > 0 LOOP
    lo := left_ranges[1];
    hi := left_ranges[2];
    left_ranges := left_ranges[3:];
    BEGIN
      EXECUTE texts[1] INTO deleted, alerts USING lo, hi, @guard@, entry.load_id, @alert_code@, lo, hi;
      IF deleted IS NULL THEN
        RAISE EXCEPTION 'the progress was not recorded' USING ERRCODE = 'XX000';
      END IF;
      IF deleted < hi - lo THEN
        EXECUTE texts[2] USING lo, hi, entry.load_id;
        GET DIAGNOSTICS more = ROW_COUNT;
        IF more > 0 THEN
          EXECUTE texts[1] INTO more, more_alerts USING lo, hi, @guard@, entry.load_id, @alert_code@, hi, hi;
          deleted := deleted + more;
          alerts := alerts + more_alerts;
        END IF;
        EXECUTE texts[3] USING lo, hi, @guard@, entry.load_id;
      END IF;
      SET CONSTRAINTS ALL IMMEDIATE;
      EXECUTE replace('SELECT count(*) FROM @@schema@@.sweep_load_kept WHERE load_id = $1 AND load_ord >= $2 AND load_ord < $3 '
        'AND outcome = ''locked''', '@@schema@@', tables) INTO more USING entry.load_id, lo, hi;
      IF more > 0 THEN
        SELECT string_agg(format('trigger %I', t.tgname), ', ') INTO message FROM pg_trigger AS t
          WHERE t.tgrelid = device AND NOT t.tgisinternal AND t.tgtype & 11 = 11;
        RAISE EXCEPTION 'left in place by % of %', coalesce(message, 'a trigger of a partition'), device USING ERRCODE = 'SMI01';
      END IF;
      EXECUTE format('SELECT ARRAY[a, b, c, d] FROM (%s) AS w(a, b, c, d)', texts[4]) INTO found USING lo, hi, entry.load_id;
      IF found <> ARRAY[deleted, alerts, hi - lo - deleted, 0] THEN
        RAISE EXCEPTION '% by a trigger or a rule', CASE WHEN found[1] <> deleted THEN 'not archived'
          WHEN found[2] <> alerts THEN 'the alert was kept out' WHEN found[3] <> hi - lo - deleted THEN 'not recorded'
          ELSE 'inserted again' END USING ERRCODE = 'SMI01';
      END IF;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
      -- Errors that are not of a row stop the script, unless a trigger chose their SQLSTATE.
      IF left(state, 2) = ANY(ARRAY[@not_of_a_row@]) AND split_part(context, E'\n', 1) NOT LIKE '%at RAISE' THEN
        RAISE;
      ELSIF hi - lo > 1 THEN
        left_ranges := ARRAY[lo, (lo + hi) / 2, (lo + hi) / 2, hi] || left_ranges;
      ELSE
        message := left(CASE state WHEN 'SMI01' THEN message ELSE state || ' ' || message END, 200);
        EXECUTE format('INSERT INTO %s.sweep_load_kept (load_id, load_ord, outcome, reason) VALUES ($1, $2, ''failed'', $3)', tables)
          USING entry.load_id, lo, message;
        EXECUTE format('UPDATE %s.sweep_load SET done = $2 WHERE load_id = $1', tables) USING entry.load_id, hi;
      END IF;
    END;
  END LOOP;
END $sweep$;
