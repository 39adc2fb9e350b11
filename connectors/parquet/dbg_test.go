package parquet
import ("testing";"os";"math/rand/v2";"time";"runtime";"fmt";"path/filepath";"github.com/tapeline/tapeline/batch";"github.com/tapeline/tapeline/internal/vfs";"github.com/tapeline/tapeline/internal/vfs/simfs";"github.com/tapeline/tapeline/connector")
func TestDbg(t *testing.T){
	var seeds [][]byte
	small := batch.NewSchema(everything().Fields()[:20]...)
	nested := batch.NewSchema(everything().Fields()[len(everything().Fields())-6:]...)
	for i, s := range []*batch.Schema{small,nested} {
		path := filepath.Join(t.TempDir(), "b.parquet")
		writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, RowGroupRows: 7, Compression: []string{"none","snappy"}[i]}, []*batch.Batch{randomBatch(3, s, 10)})
		d,_:=os.ReadFile(path); seeds=append(seeds,d)
	}
	start:=time.Now()
	for n:=0; time.Since(start)<40*time.Second; n++ {
		r:=rand.New(rand.NewPCG(uint64(n),5))
		d:=append([]byte{},seeds[n%2]...)
		for k:=r.IntN(4);k>=0;k-- { d[r.IntN(len(d))]=byte(r.Uint32()) }
		sys:=simfs.New(); f,_:=sys.Create("a.parquet"); f.Write(d)
		tm:=time.AfterFunc(3*time.Second, func(){ b:=make([]byte,1<<20); b=b[:runtime.Stack(b,true)]; fmt.Println("HANG",n,string(b)); os.Exit(3)})
		var m runtime.MemStats; runtime.ReadMemStats(&m); before:=m.TotalAlloc
		out,err:=read(t,newEnv(sys,plenty()),SourceConfig{Path:"a.parquet"},connector.Partition{},nil)
		runtime.ReadMemStats(&m)
		tm.Stop()
		if m.TotalAlloc-before>200<<20 { fmt.Println("BIG",n,(m.TotalAlloc-before)>>20,len(out.rows),err) }
		if n%5000==0 {fmt.Println(n)}
	}
}
